"""An upstream that is gone, late, or talks nonsense: a clear status in time, and one line in the log."""

import json
import re
import signal
import socket

import pytest

from support.daemon import Background, run
from support.upstream import StandInUpstream, for_ever, hang, reply, reset, sends
from support.wait import until

ID = "/latest/meta-data/instance-id"
GATEWAY_TIMEOUT, BAD_GATEWAY = 504, 502
# What an SDK waits for an answer, by the daemon's own clock.
WITHIN_MICROSECONDS = 1_000_000

BEHAVIOURS = {
    "hangs": (hang, 504),
    "closes": (sends(b""), 502),
    "resets": (reset, 502),
    "garbage": (sends(b"\x00\x01\x02 this is no HTTP\r\n\r\n"), 502),
    "another protocol": (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), 502),
    "half a head": (sends(b"HTTP/1.1 200 OK\r\nContent-Le"), 502),
    "half a head and hangs": (sends(b"HTTP/1.1 200 OK\r\nContent-Le", hang), 504),
    "half a body": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), 502),
    "half a body and hangs": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", hang), 504),
    "half a chunked body": (sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), 502),
    "chunks of nonsense": (sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nab\r\n"), 502),
    "two lengths": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502),
    "a length that is none": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab"), 502),
    "a status that is none": (sends(b"HTTP/1.1 20 OK\r\n\r\n"), 502),
    "another protocol is offered": (sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), 502),
    "a head without end": (for_ever(b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"y" * 4000 + b"\r\n"), 502),
    "a body without end": (for_ever(b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 65536), 502),
    "a huge body": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", hang), 502),
}


@pytest.mark.parametrize(("behaviour", "status"), BEHAVIOURS.values(), ids=BEHAVIOURS.keys())
def test_a_clear_status_in_time_and_one_line(serve, behaviour, status):
    answers = [reply("200 OK", b"well")]
    with StandInUpstream(lambda _: answers[-1]) as upstream:
        daemon = serve(f'upstream = "{upstream.url}"\n')
        assert daemon.imds.get(ID).text == "well"
        answers.append(behaviour)
        asking = [Background(daemon.imds.get, ID, daemon.imds.token()) for _ in range(4)]
        for request in asking:
            answer = request.join()
            assert (answer.status, answer.body) == (status, b"")
        # What is ours is not concerned.
        assert daemon.imds.get("/latest/meta-data/iam/info").status == 200
        answers.append(reply("200 OK", b"well again"))
        assert daemon.imds.get(ID).text == "well again"
        daemon.wait_for_log(f"upstream {upstream.url} answers again")
        assert daemon.log.count(f"upstream {upstream.url}: ") == 1
        taken = [int(micros) for micros in re.findall(rf"GET {ID} {status} (\d+)us", daemon.log)]
        # One limit holds for all of them; how late it strikes beyond that is the machine's load.
        assert len(taken) == 4 and min(taken) < WITHIN_MICROSECONDS
        assert daemon.memory("VmHWM") < 64 * 1024


def test_nobody_there(serve, binary):
    """The service starts all the same, says so, and answers once somebody is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    daemon = serve(f'upstream = "http://127.0.0.1:{port}"\n')
    line = daemon.wait_for_log(f"upstream http://127.0.0.1:{port}: ")
    assert "Connection refused" in line
    assert [daemon.imds.get(ID).status for _ in range(3)] == [502] * 3
    shown = json.loads(run(binary, "status", "--json", "--control", str(daemon.control)).stdout)["upstream"]
    assert shown["answers"] is False and "Connection refused" in shown["error"]
    upstream = serve("", listen=(f"127.0.0.1:{port}",))
    assert daemon.imds.get(ID).text == upstream.imds.get(ID).text
    daemon.wait_for_log("answers again")
    assert daemon.log.count(f"upstream http://127.0.0.1:{port}: ") == 1


def test_a_name_that_leads_nowhere(serve):
    daemon = serve('upstream = "http://metadata.invalid"\n')
    assert daemon.imds.get(ID).status in (BAD_GATEWAY, GATEWAY_TIMEOUT)
    daemon.wait_for_log("upstream http://metadata.invalid: ")


def test_a_real_service_that_is_stopped_and_goes_on(serve):
    upstream = serve('tokens = "required"\n')
    daemon = serve(f'upstream = "{upstream.url}"\n')
    assert daemon.imds.get(ID).status == 200
    upstream.signal(signal.SIGSTOP)
    try:
        asking = [Background(daemon.imds.get, ID) for _ in range(40)]
        assert {request.join().status for request in asking} == {GATEWAY_TIMEOUT}
    finally:
        upstream.signal(signal.SIGCONT)
    assert daemon.imds.get(ID).status == 200
    daemon.wait_for_log("answers again")
    taken = [int(micros) for micros in re.findall(rf"GET {ID} 504 (\d+)us", daemon.log)]
    assert len(taken) == 40 and min(taken) < WITHIN_MICROSECONDS
    assert daemon.log.count(f"upstream {upstream.url}: ") == 1


def test_where_the_hop_limit_swallows_the_token_values_come_without_one(serve):
    """As from behind one bridge too many: the request for a token is never answered, everything else is."""
    with StandInUpstream(reply("200 OK", b"x"), put=hang) as upstream:
        daemon = serve(f'upstream = "{upstream.url}"\n')
        upstream.asked.clear()
        for _ in range(3):
            assert daemon.imds.get(ID).text == "x"
        assert upstream.read("PUT") == [], "what the start has found out is not found out again each time"
        assert all(asked.get("X-Aws-Ec2-Metadata-Token") is None for asked in upstream.asked)


def test_a_kept_connection_that_was_closed_is_no_failure(serve):
    """The other side may close it at any moment, without a word."""
    with StandInUpstream(lambda _: lambda connection: connection.sendall(reply("200 OK", b"x"))) as upstream:
        daemon = serve(f'upstream = "{upstream.url}"\n')
        for _ in range(30):
            assert daemon.imds.get(ID).text == "x"
        assert f"upstream {upstream.url}: " not in daemon.log


def test_clients_that_go_away_leave_nothing_behind(serve):
    with StandInUpstream(lambda _: hang) as upstream:
        daemon = serve(f'upstream = "{upstream.url}"\n')
        before = daemon.descriptors()
        for _ in range(50):
            with socket.create_connection(daemon.address) as client:
                client.sendall(f"GET {ID} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        until(lambda: daemon.descriptors() <= before + 2, "every connection is gone")
        until(lambda: upstream.open <= 1, "those to the upstream too")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('upstream = "https://169.254.169.254"\n', ["https is not supported", "http://"]),
        ('upstream = "169.254.169.254"\n', ["http://HOST[:PORT]"]),
        ('upstream = "http://host/latest"\n', ["without a path"]),
        ('upstream = "http://host:0"\n', ["port"]),
        ("upstream = 5\n", ["upstream"]),
        ('upstrem = "http://host"\n', ["upstream"]),
        ('listen = "127.0.0.1:8000"\nupstream = "http://localhost:8000"\n', ["leads back", "127.0.0.1:8000"]),
        ('listen = "0.0.0.0:8000"\nupstream = "http://127.0.0.1:8000"\n', ["leads back"]),
        ('snapshot = "recording.json"\nupstream = "http://192.0.2.1"\n', ["snapshot", "one of the two"]),
        ('listen = ["127.0.0.1:1", "[::]:80"]\nupstream = "http://[::1]"\n', ["leads back", "[::]:80"]),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(binary, tmp_path, written, words):
    file = tmp_path / "config.toml"
    file.write_text(written)
    for arguments in (["check", str(file)], ["serve", "--config", str(file), "--state-dir", str(tmp_path / "state")]):
        result = run(binary, *arguments, cwd=tmp_path)
        assert result.returncode == 78, result
        assert f"config.toml:{written.count(chr(10))}: " in result.stderr
        assert len(result.stderr.splitlines()) == 1
        for word in words:
            assert word in result.stderr


def test_check_takes_a_right_one(binary, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('listen = "127.0.0.1:8000"\nupstream = "http://169.254.169.254"\n')
    assert run(binary, "check", str(file)).returncode == 0


def test_what_has_no_effect_is_told(serve):
    daemon = serve('upstream = "http://127.0.0.1:1"\n[tree]\n"meta-data/x" = "y"\n')
    daemon.wait_for_log("[[events]] and [tree] change nothing")
