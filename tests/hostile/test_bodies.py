"""Bodies that nobody asked for: huge, chunked, endless, or meant to be taken for the next request."""

import pytest

from support.wire import Closed, Connection, request_bytes

from .conftest import LEAF, endured

TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


def statuses(connection: Connection) -> list[int]:
    """The status of every reply until the connection is closed."""
    found = []
    while True:
        try:
            found.append(connection.answer().status)
        except Closed as closed:
            assert closed.received == b"", closed
            return found


@pytest.mark.parametrize(
    "length",
    ["35184372088832", "9223372036854775807", "18446744073709551615", "18446744073709551616", "9" * 100, "-1", "+5", "0x10", "5, 6", ""],
)
def test_a_content_length_beyond_reason_is_answered_or_closed(daemon, length):
    with endured(daemon), Connection(daemon.address, 30.0) as connection:
        connection.send(request_bytes("PUT", "/latest/api/token", {**TTL, "Content-Length": length}))
        found = statuses(connection)
        assert found == [] or (len(found) == 1 and found[0] in (200, 400, 411, 413, 431))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_body_that_is_announced_and_never_sent_holds_nobody_up(daemon, method):
    with endured(daemon), Connection(daemon.address, 30.0) as connection:
        connection.send(request_bytes(method, LEAF, {"Content-Length": "1000000", "Connection": "keep-alive"}))
        assert connection.answer().status in (200, 403, 413)


def pour(connection: Connection, piece: bytes, total: int) -> int:
    """Sends until the daemon stops taking; the number of bytes it took."""
    sent = 0
    connection.socket.settimeout(2.0)
    try:
        while sent < total:
            sent += connection.socket.send(piece)
    except OSError:
        pass
    return sent


def test_a_body_of_a_gigabyte_is_not_taken(daemon):
    with endured(daemon), Connection(daemon.address) as connection:
        connection.send(request_bytes("POST", LEAF, {"Content-Length": str(1 << 30)}))
        assert pour(connection, b"x" * 65536, 1 << 30) < 64 << 20


def test_an_endless_chunked_body_is_not_taken(daemon):
    with endured(daemon), Connection(daemon.address) as connection:
        connection.send(request_bytes("POST", LEAF, {"Transfer-Encoding": "chunked"}))
        assert pour(connection, b"10000\r\n" + b"x" * 65536 + b"\r\n", 1 << 30) < 64 << 20


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffffffff\r\n",
        b"zz\r\n\r\n",
        b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"0\r\n" + b"Trailer: x\r\n" * 100_000 + b"\r\n",
        b"-5\r\nhello\r\n",
    ],
    ids=["plain", "64 bits", "more than 64 bits", "no number", "long extension", "trailer", "many trailers", "negative"],
)
def test_a_chunked_body_is_answered_or_closed(daemon, body):
    with endured(daemon), Connection(daemon.address, 30.0) as connection:
        try:
            connection.send(request_bytes("PUT", "/latest/api/token", {**TTL, "Transfer-Encoding": "chunked"}) + body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            found = statuses(connection)
        except ConnectionResetError:
            found = []
        assert found in ([], [200], [400], [413])


SMUGGLED = request_bytes("GET", "/latest/meta-data/iam/security-credentials/BaseIAMRole")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Length": str(len(SMUGGLED))}, SMUGGLED),
        ({"Transfer-Encoding": "chunked"}, b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
        ({"Transfer-Encoding": "chunked", "Content-Length": "4"}, b"0\r\n\r\n" + SMUGGLED),
        ({"Transfer-Encoding": "xchunked"}, SMUGGLED),
        ({"Transfer-Encoding": "chunked, identity"}, SMUGGLED),
    ],
    ids=["length", "chunked", "both", "unknown coding", "chunked not last"],
)
def test_a_body_is_never_taken_for_the_next_request(daemon, headers, body):
    with endured(daemon), Connection(daemon.address, 30.0) as connection:
        connection.send(request_bytes("POST", LEAF, {**headers, "Connection": "keep-alive"}) + body)
        received = b""
        connection.socket.settimeout(1.0)
        try:
            received = connection.rest()
        except TimeoutError:
            received = connection.buffer
        assert b"SecretAccessKey" not in received
        assert received.count(b"HTTP/1.1 ") <= 1


def test_two_different_content_lengths_are_refused(daemon):
    with endured(daemon), Connection(daemon.address, 30.0) as connection:
        connection.send(request_bytes("POST", LEAF, [("Content-Length", "1"), ("Content-Length", "500")]) + b"x")
        assert statuses(connection) in ([], [400])


@pytest.mark.parametrize("length", ["0", "5"])
def test_expect_100_continue_on_a_token_request_is_answered(daemon, length):
    """curl sends it with a body; the answer comes at once, with or without an interim 100."""
    with endured(daemon), Connection(daemon.address) as connection:
        connection.send(
            request_bytes("PUT", "/latest/api/token", {**TTL, "Expect": "100-continue", "Content-Length": length})
        )
        answer = connection.answer()
        if answer.status == 100:
            connection.send(b"x" * int(length))
            answer = connection.answer()
        assert answer.status in (200, 417)


def test_an_unknown_expectation_is_answered(daemon):
    with endured(daemon), Connection(daemon.address) as connection:
        connection.send(request_bytes("GET", LEAF, {"Expect": "the-spanish-inquisition"}))
        assert connection.answer().status in (200, 417)
