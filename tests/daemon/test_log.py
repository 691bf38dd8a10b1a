"""The log: one line a request, and never a token, key or secret, at any level."""

import json
import re
import signal
import subprocess
import threading

import pytest

from support.daemon import LISTENING, clean_environment, run
from support.wait import until
from support.wire import Connection, exchange

LEAF = "/latest/meta-data/instance-id"
ROLE = "/latest/meta-data/iam/security-credentials/BaseIAMRole"
EC2_INSTANCE = "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"
LOST = re.compile(r"\[WARN\] (\d+) lines of the log were lost: (.+)")
LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) \[INFO\] (?P<caller>127\.0\.0\.1:\d+) (?P<method>\S+) (?P<path>\S+)"
    r" (?P<status>\d{3}) (?P<microseconds>\d+)us (?P<version>v[12])"
)


def lines_about(daemon, path: str) -> list[re.Match]:
    daemon.wait_for_log(path)
    return [LINE.fullmatch(line) for line in daemon.log.splitlines() if path in line]


def test_a_request_is_one_line_with_who_what_and_how_long(serve):
    daemon = serve()
    daemon.imds.get(LEAF)
    (line,) = lines_about(daemon, LEAF)
    assert line, daemon.log
    assert (line["method"], line["path"], line["status"], line["version"]) == ("GET", LEAF, "200", "v1")


def test_a_request_with_a_token_is_version_2(serve):
    daemon = serve()
    daemon.imds.get(LEAF, daemon.imds.token())
    (token,) = lines_about(daemon, "/latest/api/token")
    (read,) = lines_about(daemon, LEAF)
    assert (token["method"], token["status"], token["version"]) == ("PUT", "200", "v2")
    assert (read["status"], read["version"]) == ("200", "v2")


def test_a_thousand_requests_are_a_thousand_lines(serve):
    daemon = serve()
    for number in range(1000):
        daemon.imds.get(f"/number/{number}/")
    daemon.stop()
    matches = [LINE.fullmatch(line) for line in daemon.log.splitlines()]
    assert [match["path"] for match in matches if match] == [f"/number/{number}/" for number in range(1000)]


def test_an_orderly_end_loses_no_line(serve):
    daemon = serve()
    daemon.imds.get("/the-last")
    assert daemon.stop() == 0
    assert "/the-last" in daemon.log


def secrets_of(document: str) -> list[str]:
    fields = json.loads(document)
    return [fields["SecretAccessKey"], fields["Token"], fields["AccessKeyId"]]


@pytest.mark.parametrize("level", ["trace", "debug", "info", "warn", "error"])
def test_no_secret_is_in_the_log_at_any_level(serve, tmp_path, level):
    given = {
        "AccessKeyId": "ASIAFROMTHEFILE00001",
        "SecretAccessKey": "secret-access-key-from-the-file-00000001",
        "Token": "session-token-from-the-file" * 20,
        "Expiration": "2099-01-01T00:00:00Z",
    }
    source = tmp_path / "credentials.json"
    source.write_text(json.dumps(given))
    daemon = serve(
        f'[log]\nlevel = "{level}"\n[roles.BaseIAMRole]\n[roles.FromFile]\nsource = "file"\nfile = "{source}"\n'
        '[callers]\ndefault = "FromFile"\n'
    )
    imds = daemon.imds
    tokens = [imds.token(), imds.token(0), imds.put(60, "/latest/api/token/").text]
    secrets = secrets_of(imds.text("/latest/meta-data/iam/security-credentials/FromFile"))
    secrets += secrets_of(imds.text(EC2_INSTANCE))
    for token in tokens:
        for path in (LEAF, "/nothing", f"{LEAF}?X-aws-ec2-metadata-token={token}&secret={secrets[0]}"):
            imds.get(path, token)
            imds.get(path, token[::-1])
        exchange(daemon.address, "GET", LEAF, {"Host": "evil.example", "X-aws-ec2-metadata-token": token}, host=None)
        exchange(daemon.address, "PUT", "/2021-03-23/api/token", {"X-aws-ec2-metadata-token": token})
    # What cannot be parsed as credentials is told about without being shown.
    source.write_text(json.dumps(given)[:-40])
    imds.get("/almost-there")
    source.write_text(json.dumps({**given, "Expiration": "no time"}))
    assert daemon.stop() == 0
    everything = daemon.log + daemon.output
    assert [secret for secret in [*secrets, *tokens] if secret in everything] == []
    assert "secret-access-key" not in everything and "session-token" not in everything
    keys = [(daemon.state / name).read_bytes() for name in ("token.key",)]
    assert [key for key in keys if key.hex() in everything] == []


def test_a_level_of_warn_is_silent_about_requests(serve):
    daemon = serve('[log]\nlevel = "warn"\n')
    daemon.imds.get(LEAF)
    daemon.stop()
    assert daemon.log == ""


def test_the_log_can_go_to_a_file(serve, tmp_path):
    log = tmp_path / "server.log"
    daemon = serve(f'[log]\nfile = "{log}"\n')
    daemon.imds.get(LEAF)
    until(lambda: LEAF in log.read_text(), "the line in the file")
    daemon.stop()
    assert LEAF not in daemon.log


def test_a_log_file_that_cannot_be_opened_is_said(binary, tmp_path):


    target = tmp_path / "no" / "such" / "folder" / "log"
    result = run(binary, "serve", "--listen", "127.0.0.1:0", "--log-file", str(target), "--state-dir", str(tmp_path / "s"))
    assert result.returncode == 1
    assert str(target) in result.stderr


def told_as_lost(log: str, why: str) -> int:
    told = LOST.findall(log)
    assert {reason for _, reason in told} == {why}, log[-1000:]
    return sum(int(lines) for lines, _ in told)


@pytest.fixture
def unread(binary, tmp_path):
    """A daemon whose standard error is a pipe that nobody reads, and the address it serves."""
    argv = [binary, "serve", "--listen", "127.0.0.1:0", "--state-dir", tmp_path / "state", "--control", tmp_path / "control"]
    daemon = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(tmp_path), text=True
    )
    found = LISTENING.match(daemon.stdout.readline())
    yield daemon, (found[1], int(found[2]))
    daemon.kill()
    daemon.communicate()


def fill_the_log(address) -> int:
    """Asks more often than the pipe and the daemon hold lines; returns how often."""
    asked = 6000
    request = f"GET /{'x' * 255} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n".encode()
    with Connection(address) as connection:
        for _ in range(asked):
            connection.send(request)
            assert connection.answer().status == 404
    return asked


def test_a_log_that_nobody_reads_stops_no_answer_and_its_lost_lines_are_counted(unread):
    daemon, address = unread
    asked = fill_the_log(address)
    read = []
    reader = threading.Thread(target=lambda: read.extend(daemon.stderr))
    reader.start()
    # What is logged before that may be lost too.
    until(lambda: any(LOST.search(line) for line in read), "the line that counts the lost ones")
    assert exchange(address, "GET", "/once-more").status == 404
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0
    reader.join()
    log = "".join(read)
    assert log.count("/once-more") == 1
    lost = told_as_lost(log, "they could not be written as fast as they came")
    assert lost > 0 and log.count("/xxx") + lost == asked


def test_a_log_that_nobody_reads_does_not_keep_the_daemon_from_its_end(unread):
    daemon, address = unread
    fill_the_log(address)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0


def test_lines_that_a_full_disk_took_are_counted_once_there_is_room(serve, tmp_path):
    log = tmp_path / "server.log"
    daemon = serve('[log]\nfile = "/dev/full"\n')
    for _ in range(100):
        daemon.imds.get("/lost")
    daemon.config.write_text(f'[log]\nfile = "{log}"\n')
    daemon.signal(signal.SIGHUP)
    until(lambda: log.exists() and LOST.search(log.read_text()), "the new log")
    # With the line that says where the daemon listens.
    assert told_as_lost(log.read_text(), "No space left on device (os error 28)") == 101
    assert not log.read_text().startswith("\n")


def test_a_path_cannot_forge_a_line(serve):
    daemon = serve()
    daemon.imds.get("/%0a2026-01-01T00:00:00.000Z%20[INFO]%20forged")
    daemon.imds.get("/the-end")
    daemon.wait_for_log("/the-end")
    assert len([line for line in daemon.log.splitlines() if "forged" in line]) == 1


def test_a_very_long_path_is_cut_in_the_log(serve):
    daemon = serve()
    daemon.imds.get("/" + "x" * 8000)
    daemon.imds.get("/the-end")
    daemon.wait_for_log("/the-end")
    assert max(len(line) for line in daemon.log.splitlines()) < 1000
