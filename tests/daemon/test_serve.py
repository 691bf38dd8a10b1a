"""Starting and ending: where it listens, what it says, what a second one and a wrong one do."""

import signal
import socket

import pytest

from support.daemon import run
from support.wire import Closed, Connection, exchange, request_bytes

LEAF = "/latest/meta-data/instance-id"
KEEP = {"Connection": "keep-alive"}


def test_it_answers_at_the_moment_it_says_so(serve):
    daemon = serve()
    assert daemon.output.splitlines()[0] == f"listening on {daemon.url}"
    assert daemon.imds.get(LEAF).status == 200


def test_it_listens_on_every_address_it_is_given(serve):
    daemon = serve(listen=("127.0.0.1:0", "127.0.0.2:0", "[::1]:0"))
    assert [host for host, _ in daemon.addresses] == ["127.0.0.1", "127.0.0.2", "::1"]
    for address in daemon.addresses:
        assert exchange(address, "GET", LEAF).status == 200


def test_without_root_file_or_setup_it_serves_a_whole_instance(serve):
    """`make run`: no configuration at all."""
    imds = serve().imds
    for path in ("ami-id", "instance-id", "local-ipv4", "iam/info", "placement/region", "network/interfaces/macs/"):
        assert imds.meta(path)


def test_it_is_not_reachable_from_elsewhere_unless_told(serve, namespace):
    """The default address is loopback, whatever the port."""
    daemon = serve(listen=(), prefix=namespace.prefix)
    assert daemon.addresses == [("127.0.0.1", 8000)]


def test_a_taken_port_is_said_with_its_remedy(binary, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        result = run(binary, "serve", "--listen", address, "--state-dir", str(tmp_path / "state"), cwd=tmp_path)
    assert result.returncode == 1
    assert f"listen on {address}: " in result.stderr
    assert "--listen" in result.stderr
    assert "listening on" not in result.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(serve, number):
    daemon = serve()
    daemon.signal(number)
    assert daemon.process.wait(15) == 0


def test_idle_connections_do_not_hold_up_the_end(serve):
    daemon = serve()
    idle = [Connection(daemon.address) for _ in range(50)]
    for connection in idle[:25]:
        connection.send(request_bytes("GET", LEAF, KEEP))
        connection.answer()
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(4) == 0
    for connection in idle:
        connection.close()


def test_a_request_that_waits_for_its_answer_gets_it_before_the_end(serve):
    """The first signatures of a new state directory wait until an RSA key has been made."""
    daemon = serve()
    with Connection(daemon.address) as connection:
        connection.send(request_bytes("GET", "/latest/dynamic/instance-identity/rsa2048"))
        daemon.imds.get("/another")  # has been accepted after ours
        daemon.signal(signal.SIGTERM)
        answer = connection.answer()
    assert (answer.status, len(answer.body) > 1000) == (200, True)
    assert daemon.process.wait(15) == 0


def test_answers_that_have_begun_are_finished_before_the_end(serve, tmp_path):
    """A client takes its answers slowly: whatever has begun arrives whole, then the connection closes."""
    (tmp_path / "data").write_bytes(b"u" * 16384)
    daemon = serve(f'[instance]\nuser-data-file = "{tmp_path / "data"}"\n')
    requests = 150
    with Connection(daemon.address) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(request_bytes("GET", "/latest/user-data", KEEP) * requests)
        assert connection.answer().body == b"u" * 16384
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("stopping")
        answers = 1
        try:
            while answers < requests:
                assert connection.answer().body == b"u" * 16384
                answers += 1
        except Closed as closed:
            assert closed.received == b"", "the last answer was cut"
    assert daemon.process.wait(15) == 0


def test_a_head_that_was_being_sent_is_answered_before_the_end(serve):
    daemon = serve()
    with Connection(daemon.address) as connection:
        head = request_bytes("GET", LEAF)
        connection.send(head[:-2])
        daemon.imds.get("/another")  # has been accepted after ours
        daemon.signal(signal.SIGTERM)
        connection.send(head[-2:])
        assert connection.answer().status == 200
    assert daemon.process.wait(15) == 0


def test_after_the_signal_nobody_new_is_let_in(serve):
    daemon = serve()
    assert daemon.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        Connection(daemon.address)


def test_it_starts_again_on_the_port_it_just_left(serve):
    daemon = serve()
    port = daemon.port
    exchange(daemon.address, "GET", LEAF)
    assert daemon.stop() == 0
    daemon.argv = [arg.replace("127.0.0.1:0", f"127.0.0.1:{port}") for arg in daemon.argv]
    daemon.start()
    assert daemon.port == port
    assert daemon.imds.get(LEAF).status == 200


def test_two_daemons_serve_two_instances_side_by_side(serve):
    one, two = serve(), serve('[instance]\ninstance-id = "i-0123456789abcdef0"\n')
    assert two.imds.meta("instance-id") == "i-0123456789abcdef0"
    assert one.imds.meta("instance-id") != "i-0123456789abcdef0"


def test_an_environment_of_the_developers_own_aws_settings_changes_nothing(serve):
    settings = {"AWS_ACCESS_KEY_ID": "AKIAMINE", "AWS_SECRET_ACCESS_KEY": "mine", "AWS_REGION": "eu-west-3"}
    imds = serve(env=settings).imds
    assert "AKIAMINE" not in imds.meta("iam/security-credentials/BaseIAMRole")
    assert imds.meta("placement/region") == "us-east-1"
