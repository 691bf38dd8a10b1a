"""Request heads that are slow, huge, endless or not HTTP at all."""

import random
import socket
import time

import pytest

from support.wire import Closed, Connection, request_bytes

from .conftest import LEAF, assert_serves_at_once, endured

# The daemon's time for a request head, with room for a busy machine.
HEAD_CLOSED_WITHIN = 20.0


def reaction(daemon, data: bytes, timeout: float = 10.0) -> int | None:
    """Sends the bytes and gives the status that comes back; None when the connection was closed without one."""
    with Connection(daemon.address, timeout) as connection:
        try:
            connection.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            return connection.answer().status
        except Closed as closed:
            assert closed.received == b""
            return None


def test_a_head_that_never_ends_is_closed(daemon):
    with endured(daemon), Connection(daemon.address, HEAD_CLOSED_WITHIN) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        connection.rest()


def test_a_head_that_trickles_is_closed_although_it_never_pauses_for_long(daemon):
    """A byte now and then must not move the deadline of the whole head."""
    begun = time.monotonic()
    with endured(daemon), Connection(daemon.address) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        while connection.silent(0.1):
            assert time.monotonic() - begun < HEAD_CLOSED_WITHIN, "still open"
            try:
                connection.send(b"x")
            except (BrokenPipeError, ConnectionResetError):
                break


def test_500_slow_heads_at_once_delay_nobody(daemon):
    with endured(daemon):
        slow = [Connection(daemon.address) for _ in range(500)]
        for connection in slow:
            connection.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        assert_serves_at_once(daemon)
        for connection in slow:
            connection.close()


def endless(daemon, prefix: bytes, piece: bytes, total: int) -> int | None:
    """Sends pieces until the daemon has had enough; says what it answered."""
    with Connection(daemon.address, 10.0) as connection:
        sent = 0
        try:
            connection.send(prefix)
            while sent < total:
                connection.send(piece)
                sent += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < total, f"{total} bytes of one head were taken"
        try:
            return connection.answer().status
        except (Closed, ConnectionResetError):
            return None


def test_a_header_of_256_megabytes_is_refused(daemon):
    with endured(daemon):
        status = endless(daemon, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", b"x" * 65536, 256 << 20)
        assert status in (None, 431)


def test_a_target_of_256_megabytes_is_refused(daemon):
    with endured(daemon):
        assert endless(daemon, b"GET /", b"x" * 65536, 256 << 20) in (None, 400, 414, 431)


def test_a_million_headers_are_refused(daemon):
    with endured(daemon):
        status = endless(daemon, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X: y\r\n" * 1000, 6_000_000)
        assert status in (None, 431)


def test_a_million_headers_are_refused_on_100_connections_at_once(daemon):
    with endured(daemon):
        connections = [Connection(daemon.address) for _ in range(100)]
        head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 10_000
        for connection in connections:
            try:
                connection.send(head)
            except (BrokenPipeError, ConnectionResetError):
                pass
        assert_serves_at_once(daemon)
        for connection in connections:
            connection.close()


def test_a_head_of_a_few_kilobytes_is_still_answered(daemon):
    """Proxies and tracing add headers; the limit is not for them."""
    headers = [(f"X-Trace-{number}", "v" * 100) for number in range(50)]
    assert reaction(daemon, request_bytes("GET", LEAF, headers)) == 200


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / HTTP/3",
        "GET / HTTP/1.10",
        "GET /",
        "GET",
        "",
        " ",
        "GET  /  HTTP/1.1",
        "/ GET HTTP/1.1",
        "GET / FTP/1.1",
        "G\x00T / HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "CONNECT 169.254.169.254:80 HTTP/1.1",
        "GET latest HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET * HTTP/1.1",
    ],
)
def test_an_odd_request_line_is_answered_or_closed(daemon, line):
    with endured(daemon):
        status = reaction(daemon, f"{line}\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"), timeout=30.0)
        assert status is None or 200 <= status < 600


def test_the_preface_of_http_2_is_refused(daemon):
    with endured(daemon):
        status = reaction(daemon, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18)
        assert status in (None, 400, 505)


def test_a_line_of_http_0_9_is_closed_without_a_body(daemon):
    with endured(daemon), Connection(daemon.address, 30.0) as connection:
        connection.send(b"GET /latest/meta-data/instance-id\r\n")
        connection.socket.shutdown(socket.SHUT_WR)
        assert b"i-" not in connection.rest()


def test_bare_line_feeds_are_answered_or_closed(daemon):
    with endured(daemon):
        assert reaction(daemon, b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n") in (None, 200, 400)


def test_a_bare_carriage_return_hides_no_header(daemon):
    with endured(daemon):
        head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\rX-Hidden: 1\r\n\r\n"
        assert reaction(daemon, head) in (None, 400, 403)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /latest/\xff\xfe\x80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \xff\xfe\x80\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\xc3\xa9: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-aws-ec2-metadata-token: \xff\xff\r\n\r\n",
        b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\nX-aws-ec2-metadata-token-ttl-seconds: \xb2\r\n\r\n",
        b"\xff" * 1000,
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX : space before the colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n: no name\r\n\r\n",
    ],
    ids=lambda head: repr(head[:60]),
)
def test_bytes_that_do_not_belong_there_are_answered_or_closed(daemon, head):
    with endured(daemon):
        status = reaction(daemon, head, timeout=30.0)
        assert status is None or 200 <= status < 500


def test_a_byte_above_127_in_the_log_stays_in_its_line(daemon):
    with endured(daemon):
        reaction(daemon, b"GET /a\xffb%0Aforged%0dline HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        daemon.imds.get("/the-end")
        daemon.wait_for_log("/the-end")
        assert not [line for line in daemon.log.splitlines() if line.startswith(("forged", "line"))]


def test_a_tls_hello_is_closed(daemon):
    with endured(daemon):
        assert reaction(daemon, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2) in (None, 400)


def test_2000_mutations_of_a_request_are_answered_or_closed(daemon):
    """Reproducible: the seed is fixed."""
    dice = random.Random(2026)
    whole = request_bytes(
        "GET", LEAF, {"X-aws-ec2-metadata-token": "AQAEA" + "x" * 49 + "==", "Connection": "keep-alive", "Content-Length": "0"}
    )
    with endured(daemon):
        for _ in range(2000):
            data = bytearray(whole)
            for _ in range(dice.randint(1, 6)):
                at = dice.randrange(len(data))
                kind = dice.randrange(3)
                if kind == 0:
                    data[at] = dice.randrange(256)
                elif kind == 1:
                    del data[at : at + dice.randint(1, 20)]
                else:
                    data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 20)))
                if not data:
                    data = bytearray(b"\r")
            with Connection(daemon.address) as connection:
                try:
                    connection.send(bytes(data))
                    connection.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    continue
                connection.rest()
