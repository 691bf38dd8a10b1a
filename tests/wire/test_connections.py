"""When a connection is kept and when it is closed (reference 1.2), and what may come on it (1.8)."""

import socket

import pytest

from support.wire import Connection, exchange, request_bytes

LEAF = "/latest/meta-data/instance-id"


def test_closed_after_the_reply_when_the_client_says_nothing(default_daemon):
    with Connection(default_daemon.address) as connection:
        connection.send(request_bytes("GET", LEAF))
        assert connection.answer().get("Connection") == "close"
        assert connection.rest() == b""


def test_closed_after_the_reply_when_the_client_asks_for_that(default_daemon):
    with Connection(default_daemon.address) as connection:
        connection.send(request_bytes("GET", LEAF, {"Connection": "close"}))
        assert connection.answer().get("Connection") == "close"
        assert connection.rest() == b""


@pytest.mark.parametrize("value", ["keep-alive", "Keep-Alive", "KEEP-ALIVE", "keep-alive, TE"])
def test_kept_without_a_connection_header_when_the_client_asks_for_that(default_daemon, value):
    with Connection(default_daemon.address) as connection:
        for _ in range(100):
            connection.send(request_bytes("GET", LEAF, {"Connection": value}))
            answer = connection.answer()
            assert answer.status == 200
            assert "Connection" not in answer.names
        assert connection.silent(0.2)


def test_kept_until_a_request_does_not_ask_for_it(default_daemon):
    with Connection(default_daemon.address) as connection:
        connection.send(request_bytes("GET", LEAF, {"Connection": "keep-alive"}))
        assert "Connection" not in connection.answer().names
        connection.send(request_bytes("GET", LEAF))
        assert connection.answer().get("Connection") == "close"
        assert connection.rest() == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("HEAD", LEAF), ("OPTIONS", LEAF), ("POST", LEAF), ("GET", "/latest/api/token"), ("PUT", "/latest/api/token")],
)
def test_kept_after_every_kind_of_reply(default_daemon, method, path):
    with Connection(default_daemon.address) as connection:
        for _ in range(2):
            connection.send(request_bytes(method, path, {"Connection": "keep-alive"}))
            assert "Connection" not in connection.answer(method).names
        connection.send(request_bytes("GET", LEAF))
        assert connection.answer().text.startswith("i-")


def test_requests_sent_together_are_answered_in_order(default_daemon):
    leaves = ["instance-id", "instance-type", "local-ipv4", "mac", "ami-id"] * 20
    alone = {leaf: default_daemon.imds.get(f"/latest/meta-data/{leaf}").text for leaf in set(leaves)}
    with Connection(default_daemon.address) as connection:
        connection.send(
            b"".join(request_bytes("GET", f"/latest/meta-data/{leaf}", {"Connection": "keep-alive"}) for leaf in leaves)
        )
        assert [connection.answer().text for _ in leaves] == [alone[leaf] for leaf in leaves]


def test_http_1_0_without_a_host_is_answered_and_closed(default_daemon):
    with Connection(default_daemon.address) as connection:
        connection.send(f"GET {LEAF} HTTP/1.0\r\n\r\n".encode())
        assert connection.answer().text.startswith("i-")
        assert connection.rest() == b""


def test_a_connection_that_sends_nothing_and_closes_is_no_matter(default_daemon):
    before = default_daemon.log
    socket.create_connection(default_daemon.address).close()
    assert default_daemon.imds.get(LEAF).status == 200
    new = default_daemon.log.removeprefix(before)
    assert "ERROR" not in new and "WARN" not in new


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Length": "0"}, {"Transfer-Encoding": "chunked"}],
    ids=["no length", "length 0", "empty chunked body"],
)
def test_a_token_request_may_say_its_empty_body_in_each_way(default_daemon, headers):
    body = b"0\r\n\r\n" if "Transfer-Encoding" in headers else b""
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60", **headers}
    answer = exchange(default_daemon.address, "PUT", "/latest/api/token", headers, body=body)
    assert answer.status == 200
    assert len(answer.body) == 56


def test_a_head_that_comes_byte_by_byte_is_answered(default_daemon):
    with Connection(default_daemon.address) as connection:
        for byte in request_bytes("GET", LEAF):
            connection.send(bytes([byte]))
        assert connection.answer().status == 200


def test_a_client_that_shuts_its_sending_side_still_gets_its_answer(default_daemon):
    with Connection(default_daemon.address) as connection:
        connection.send(request_bytes("GET", LEAF))
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.answer().status == 200


def test_an_answer_longer_than_the_daemon_writes_at_once_arrives_whole(serve):
    """The lengths around which it is written in one piece more, and one of many pieces; kept and asked for ahead."""
    lengths = [16383, 16384, 16385, 32768, 32769, 1_000_003]
    values = {f"l{length}": "".join(f"{number:07}," for number in range(length // 8 + 1))[:length] for length in lengths}
    lines = "".join(f'"meta-data/{name}" = "{value}"\n' for name, value in values.items())
    daemon = serve(f"[tree]\n{lines}")
    kept = {"Connection": "keep-alive"}
    with Connection(daemon.address) as connection:
        asked = [request_bytes("GET", f"/latest/meta-data/{name}", kept) for name in values]
        connection.send(b"".join(asked * 2))
        for value in [*values.values()] * 2:
            answer = connection.answer()
            assert answer.get("Content-Length") == str(len(value))
            assert answer.body == value.encode()
        for name, value in values.items():
            head = exchange(daemon.address, "HEAD", f"/latest/meta-data/{name}")
            assert (head.get("Content-Length"), head.body) == (str(len(value)), b"")
