"""Many connections, clients that do not read, clients that vanish, and no file descriptors left."""

import resource
import socket
import time

from support.wait import until
from support.wire import Connection, exchange, request_bytes

from .conftest import LEAF, assert_serves_at_once, endured

KEEP = {"Connection": "keep-alive"}


def quietly_send(connection: Connection, data: bytes) -> int:
    """Sends as much as the other side takes without waiting; the number of bytes."""
    connection.socket.setblocking(False)
    sent = 0
    try:
        while sent < len(data):
            sent += connection.socket.send(data[sent : sent + 65536])
    except OSError:
        pass
    return sent


def allow_descriptors(number: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, max(hard, number)))


def test_2000_idle_connections_keep_nobody_out(daemon):
    allow_descriptors(4096)
    with endured(daemon):
        idle = [Connection(daemon.address) for _ in range(2000)]
        assert_serves_at_once(daemon)
        for connection in idle:
            connection.close()


def test_2000_connections_that_have_been_used_and_kept_keep_nobody_out(daemon):
    allow_descriptors(4096)
    with endured(daemon):
        idle = [Connection(daemon.address) for _ in range(2000)]
        for connection in idle:
            connection.send(request_bytes("GET", LEAF, KEEP))
        assert_serves_at_once(daemon)
        for connection in idle:
            connection.close()


def test_5000_used_and_kept_connections_take_no_more_memory_than_the_limit_lets_them(daemon):
    """More than are held at once: each new one takes the place of the one that has been idle longest."""
    allow_descriptors(8192)
    with endured(daemon):
        idle = [Connection(daemon.address) for _ in range(5000)]
        for connection in idle:
            quietly_send(connection, request_bytes("GET", LEAF, KEEP))
        assert_serves_at_once(daemon)
        for connection in idle:
            connection.close()


def test_more_idle_connections_than_descriptors_keep_nobody_out(serve):
    """Idle ones give way to new ones, also when it is the descriptors that run out."""
    daemon = serve(prefix=("prlimit", "--nofile=128:128", "--"))
    with endured(daemon):
        idle = [Connection(daemon.address) for _ in range(400)]
        assert_serves_at_once(daemon)
        assert daemon.descriptors() <= 128
        for connection in idle:
            connection.close()


def test_descriptors_come_back_after_they_ran_out(serve):
    daemon = serve(prefix=("prlimit", "--nofile=128:128", "--"))
    before = daemon.descriptors()
    with endured(daemon):
        for _ in range(5):
            idle = [Connection(daemon.address) for _ in range(300)]
            for connection in idle:
                connection.close()
            until(lambda: daemon.descriptors() <= before + 2, "the descriptors are free again")


def test_no_descriptors_left_while_requests_are_half_sent(serve):
    daemon = serve(prefix=("prlimit", "--nofile=128:128", "--"))
    with endured(daemon):
        slow = [Connection(daemon.address) for _ in range(300)]
        for connection in slow:
            quietly_send(connection, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        assert_serves_at_once(daemon)
        for connection in slow:
            connection.close()


def big_daemon(serve, tmp_path):
    """With user data of 16 KB, the most EC2 takes, so that answers fill a socket quickly."""
    (tmp_path / "data").write_bytes(b"u" * 16384)
    return serve(f'[instance]\nuser-data-file = "{tmp_path / "data"}"\n')


def test_pipelined_requests_whose_answers_nobody_reads_take_no_memory(serve, tmp_path):
    daemon = big_daemon(serve, tmp_path)
    many = request_bytes("GET", "/latest/user-data", KEEP) * 10_000
    with endured(daemon):
        deaf = [Connection(daemon.address) for _ in range(50)]
        for connection in deaf:
            assert quietly_send(connection, many) > 0
        assert_serves_at_once(daemon)
        for connection in deaf:
            connection.close()


def test_as_many_connections_as_are_held_with_long_answers_take_no_memory(serve, tmp_path):
    """Each has got a long answer, and then asks for many that it does not read."""
    allow_descriptors(4096)
    daemon = big_daemon(serve, tmp_path)
    long = request_bytes("GET", "/latest/user-data", KEEP)
    with endured(daemon):
        connections = [Connection(daemon.address) for _ in range(1024)]
        for connection in connections:
            connection.send(long)
        for connection in connections:
            assert connection.answer().body == b"u" * 16384
        assert_serves_at_once(daemon)
        for connection in connections[1:]:
            # So that little of it is the kernel's.
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            assert quietly_send(connection, long * 1000) > 0
        # A thousand clients at once have their first answers made before the next client's turn comes: a third of a second
        # in a release build, more in this one. What is looked at is the state after it.
        assert daemon.imds.get(LEAF).status == 200
        assert_serves_at_once(daemon)
        for connection in connections:
            connection.close()


def test_a_client_that_never_reads_is_closed(serve, tmp_path):
    daemon = big_daemon(serve, tmp_path)
    before = daemon.descriptors()
    with endured(daemon):
        deaf = Connection(daemon.address)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        quietly_send(deaf, request_bytes("GET", "/latest/user-data", KEEP) * 10_000)
        until(lambda: daemon.descriptors() <= before, "the connection is closed on the daemon's side", within=60)
        deaf.close()


def test_a_slow_reader_that_keeps_reading_gets_its_whole_answer(serve, tmp_path):
    daemon = big_daemon(serve, tmp_path)
    requests = 64
    with endured(daemon), Connection(daemon.address) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(request_bytes("GET", "/latest/user-data", KEEP) * requests)
        for _ in range(requests):
            assert connection.answer().body == b"u" * 16384


def test_2000_requests_followed_by_a_reset_are_no_matter(daemon):
    with endured(daemon):
        for number in range(2000):
            connection = Connection(daemon.address)
            connection.send(request_bytes(("GET", "PUT", "POST")[number % 3], LEAF, KEEP))
            connection.reset()


def test_a_reset_in_the_middle_of_a_head_and_of_a_body_is_no_matter(daemon):
    with endured(daemon):
        for data in (b"GET / HT", b"PUT /latest/api/token HTTP/1.1\r\nContent-Length: 10\r\nHost: localhost\r\n\r\nxx"):
            for _ in range(200):
                connection = Connection(daemon.address)
                connection.send(data)
                connection.reset()


def test_24_clients_that_connect_together_and_stay_are_all_answered(daemon):
    """The fault for which tiny_http does not serve this address."""
    with endured(daemon):
        clients = [Connection(daemon.address) for _ in range(24)]
        for connection in clients:
            connection.send(request_bytes("GET", LEAF, KEEP))
        assert [connection.answer().status for connection in clients] == [200] * 24
        for connection in clients:
            connection.close()


def test_an_answer_does_not_wait_for_an_acknowledgement(daemon):
    """Without TCP_NODELAY a kept connection takes 40 ms an answer; 100 answers within a second exclude that."""
    with endured(daemon), Connection(daemon.address) as connection:
        begun = time.monotonic()
        for _ in range(100):
            connection.send(request_bytes("GET", "/latest/dynamic/instance-identity/document", KEEP))
            assert connection.answer().status == 200
        assert time.monotonic() - begun < 2.0


def test_after_all_of_it_together_the_daemon_serves(daemon):
    """Idle, slow, deaf and resetting clients at the same time."""
    allow_descriptors(4096)
    with endured(daemon):
        held = []
        for number in range(1200):
            connection = Connection(daemon.address)
            kind = number % 4
            if kind == 1:
                connection.send(b"GET / HTTP/1.1\r\nHost: ")
            elif kind == 2:
                quietly_send(connection, request_bytes("GET", "/latest/meta-data/", KEEP) * 50)
            elif kind == 3:
                connection.send(request_bytes("GET", LEAF, KEEP))
                connection.reset()
                continue
            held.append(connection)
            if number % 100 == 0:
                assert_serves_at_once(daemon)
        for connection in held:
            connection.close()
        assert exchange(daemon.address, "GET", LEAF).status == 200
