"""Faults as they look on the wire, in `fault list`, in `status` and in the log."""

import calendar
import json
import time
from datetime import timedelta

import pytest

from support.control import Control, Refused
from support.dates import now, parse, span
from support.wait import until
from support.wire import Closed, Connection, request_bytes

LEAF = "/latest/meta-data/instance-id"
ROLES = "/latest/meta-data/iam/security-credentials/"
ROLE = ROLES + "BaseIAMRole"


def send(daemon, path: str = LEAF, **more) -> Connection:
    connection = Connection(daemon.address, **more)
    connection.send(request_bytes("GET", path, {"Connection": "keep-alive"}))
    return connection


def lines(steered, path: str, count: int = 1) -> list[str]:
    """The log lines of the requests of a path, once there are so many (the log is written a little later)."""

    def found():
        return [line for line in steered.daemon.log.splitlines() if f" {path} " in line]

    return until(lambda: found() if len(found()) >= count else None, f"{count} log lines of {path}")


def test_without_faults_there_are_none(steered):
    assert steered.do("fault", "list") == "no faults\n"
    assert steered.faults() == steered.status()["faults"] == []
    assert steered.get(LEAF).status == 200
    assert "fault" not in lines(steered, LEAF)[0]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_status(steered, status):
    assert steered.add("fault", "add", "status", str(status)) == "status-1"
    for method, path in (("GET", LEAF), ("GET", "/no/such/path"), ("HEAD", LEAF)):
        answer = steered.daemon.imds.get(path, method=method)
        assert answer.status == status
        assert answer.reason and answer.get("Server") == "EC2ws" and answer.get("Date")
        assert answer.get("Content-Length") == str(len(answer.body)) or method == "HEAD"
    assert steered.daemon.imds.put().status == status
    (fault,) = steered.faults()
    assert (fault["id"], fault["fault"], fault["phase"], fault["played"]) == ("status-1", f"status {status}", "in force", 4)
    assert steered.status()["faults"] == [fault]
    assert f"faults:\n  fault: status {status}\n  id: status-1\n  phase: in force\n  played: 4\n" in steered.do("status")
    line = lines(steered, LEAF)[0]
    assert f" {status} " in line and line.endswith(f" fault status {status} (status-1)")
    assert steered.do("fault", "clear", "status-1") == "cleared: 1\n"
    assert steered.get(LEAF).status == 200
    assert "fault" not in lines(steered, LEAF, 3)[-1]


def test_a_status_looks_like_the_real_one(steered):
    """The same body and headers as when the service itself has nothing there."""
    real = steered.daemon.imds.get("/latest/meta-data/nothing")
    steered.add("fault", "add", "status", "404")
    played = steered.daemon.imds.get(LEAF)
    assert (played.status, played.reason, played.body, played.names) == (real.status, real.reason, real.body, real.names)


def test_delay(steered):
    steered.add("fault", "add", "delay", "300ms", "--path", "instance-id")
    begun = time.monotonic()
    assert steered.daemon.imds.get(LEAF).status == 200
    assert time.monotonic() - begun >= 0.3
    (line,) = lines(steered, LEAF)
    assert " 200 " in line and line.endswith(" fault delay 300ms (delay-1)")
    assert int(line.split("us ")[0].rsplit(" ", 1)[1]) >= 300_000, "the log says how long it took"


def test_a_delayed_answer_is_true_when_it_comes(steered):
    steered.add("fault", "add", "delay", "1s", "--path", "probe")
    steered.do("set", "probe", "before")
    with send(steered.daemon, "/latest/meta-data/probe") as connection:
        until(lambda: steered.faults()[0]["played"], "the fault strikes")
        with span() as sent:
            answer = connection.answer()
    assert answer.text == "before"
    date = time.strptime(answer.get("Date"), "%a, %d %b %Y %H:%M:%S GMT")
    assert sent.begin.timestamp() - 1 <= calendar.timegm(date) <= sent.end.timestamp()


def test_others_do_not_wait_for_a_delayed_answer(steered):
    steered.add("fault", "add", "delay", "30s", "--path", "instance-id")
    with send(steered.daemon) as connection:
        until(lambda: steered.faults()[0]["played"], "the fault strikes")
        begun = time.monotonic()
        for _ in range(20):
            assert steered.daemon.imds.get("/latest/meta-data/mac").status == 200
        assert time.monotonic() - begun < 10
        assert connection.silent(0.1)


def test_hang_keeps_the_connection_and_says_nothing(steered):
    steered.add("fault", "add", "hang")
    with send(steered.daemon) as connection:
        assert connection.silent(1.5), "longer than SDKs wait"
    (line,) = lines(steered, LEAF)
    assert f" GET {LEAF} - " in line and line.endswith(" fault hang (hang-1)")
    assert steered.faults()[0]["played"] == 1


def test_a_hanging_connection_ends_with_its_client(steered):
    steered.add("fault", "add", "hang")
    connections = [send(steered.daemon) for _ in range(5)]
    until(lambda: steered.faults()[0]["played"] == 5, "the fault strikes")
    connections[0].send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connections[0].silent(0.5), "the next request is not answered either"
    hanging = steered.daemon.descriptors()
    assert steered.faults()[0]["played"] == 5
    for connection in connections:
        connection.close()
    until(lambda: steered.daemon.descriptors() <= hanging - 5, "what clients have left is closed", 10)


def test_a_hanging_connection_does_not_keep_the_daemon_from_stopping(steered):
    steered.add("fault", "add", "hang")
    with send(steered.daemon):
        until(lambda: steered.faults()[0]["played"], "the fault strikes")
        assert steered.daemon.stop() == 0


def test_close_ends_the_connection_without_an_answer(steered):
    steered.add("fault", "add", "close")
    with send(steered.daemon) as connection, pytest.raises(Closed) as closed:
        connection.answer()
    assert closed.value.received == b""
    assert f" GET {LEAF} - " in lines(steered, LEAF)[0]
    steered.daemon.wait_for_log("fault close (close-1)")


def test_reset_resets_the_connection(steered):
    steered.add("fault", "add", "reset")
    with send(steered.daemon) as connection, pytest.raises(ConnectionResetError):
        connection.socket.recv(1)
    steered.daemon.wait_for_log("fault reset (reset-1)")


@pytest.mark.parametrize("path", [LEAF, ROLE, "/latest/dynamic/instance-identity/document", "/latest/meta-data/"])
def test_truncate_ends_the_body_half_way(steered, path):
    whole = steered.daemon.imds.get(path)
    steered.add("fault", "add", "truncate")
    with send(steered.daemon, path) as connection, pytest.raises(Closed) as closed:
        connection.answer()
    head, _, body = closed.value.received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"Content-Length: {len(whole.body)}\r\n".encode() in head + b"\r\n"
    assert body == whole.body[: len(whole.body) // 2] != b""
    steered.daemon.wait_for_log("fault truncate (truncate-1)")


def test_expired_credentials(steered):
    fresh = json.loads(steered.daemon.imds.get(ROLE).text)
    assert parse(fresh["Expiration"]) > now()
    steered.add("fault", "add", "expired-credentials")
    played = json.loads(steered.daemon.imds.get(ROLE).text)
    assert list(played) == list(fresh) and played["Code"] == "Success"
    assert parse(played["LastUpdated"]) < parse(played["Expiration"]) < now() - timedelta(minutes=30)
    assert played["AccessKeyId"] == fresh["AccessKeyId"]
    assert steered.daemon.imds.get(ROLES).text == "BaseIAMRole"
    assert [fault["played"] for fault in steered.faults()] == [1], "only credentials are spoilt"
    steered.daemon.wait_for_log("fault expired-credentials (expired-credentials-1)")
    steered.do("fault", "clear")
    assert json.loads(steered.daemon.imds.get(ROLE).text) == fresh


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("AssumeRoleUnauthorizedAccess",), "EC2 cannot assume the role BaseIAMRole."),
        (("InternalError",), "InternalError"),
        (("InternalError", "--message", "it's broken"), "it's broken"),
    ],
)
def test_credentials_with_an_error_code(steered, argv, message):
    steered.add("fault", "add", "credentials-code", *argv)
    answer = steered.daemon.imds.get(ROLE)
    document = json.loads(answer.text)
    assert answer.status == 200
    assert document["Code"] == argv[0] and document["Message"].startswith(message)
    assert set(document) == {"Code", "Message", "LastUpdated"}
    steered.daemon.wait_for_log(f"fault credentials-code {argv[0]} (credentials-code-1)")


def test_forgotten_tokens_are_worthless_for_good_and_new_ones_are_not(steer):
    steered = steer('tokens = "required"\n')
    imds = steered.daemon.imds
    old = imds.token()
    assert imds.get(LEAF, old).status == 200
    steered.add("fault", "add", "forget-tokens")
    assert imds.get(LEAF, old).status == 401
    new = imds.token()
    assert imds.get(LEAF, new).status == 200
    (fault,) = steered.faults()
    assert (fault["phase"], fault["played"]) == ("over", 1)
    steered.daemon.wait_for_log("forget-tokens")
    steered.daemon.restart()
    assert (steered.daemon.imds.get(LEAF, old).status, steered.get(LEAF).status) == (401, 200)


@pytest.mark.parametrize(("argv", "status"), [((), 503), (("--status", "429"), 429)])
def test_throttle_lets_so_many_requests_a_second_pass(steered, argv, status):
    steered.add("fault", "add", "throttle", "2", *argv)
    with Connection(steered.daemon.address) as connection:

        def ask() -> int:
            connection.send(request_bytes("GET", LEAF, {"Connection": "keep-alive"}))
            return connection.answer().status

        begun = time.monotonic()
        answers = [ask() for _ in range(40)]
        took = time.monotonic() - begun
        assert set(answers) == {200, status}
        assert answers[:2] == [200, 200]
        passed = answers.count(200)
        assert passed <= 2 + 2 * took + 1
        assert steered.faults()[0]["played"] == 40 - passed
        until(lambda: ask() == 200, "a place becomes free", every=0.1)
    steered.daemon.wait_for_log(f"fault throttle 2/s with {status} (throttle-1)")


def test_path_limits_a_fault(steered):
    steered.add("fault", "add", "status", "500", "--path", "iam/*")
    steered.add("fault", "add", "status", "404", "--path", "/2009-04-04/*")
    steered.add("fault", "add", "status", "429", "--path", "api/token")
    steered.add("fault", "add", "status", "503", "--path", "*/local-ipv?")
    imds = steered.daemon.imds
    for path, status in [
        (ROLE, 500),
        ("/latest/meta-data//iam/./info", 500),
        ("/2021-03-23/meta-data/iam/info", 500),
        ("/latest/meta-data/%69am/info", 500),
        ("/latest/meta-data/iam/info?x=1", 500),
        ("/2009-04-04/meta-data/instance-id", 404),
        ("/latest/meta-data/local-ipv4", 503),
        ("/latest/meta-data/local-ipv4/", 503),
        (LEAF, 200),
        ("/latest/meta-data/", 200),
    ]:
        assert imds.get(path).status == status, path
    assert imds.put().status == 429
    assert [fault["path"] for fault in steered.faults()] == ["iam/*", "/2009-04-04/*", "api/token", "*/local-ipv?"]


def test_caller_limits_a_fault(steer):
    steered = steer("[roles.Mine]\n[roles.Other]\n[callers]\ndefault = \"Mine\"\n")
    steered.add("fault", "add", "status", "500", "--caller", "192.0.2.1")
    steered.add("fault", "add", "status", "404", "--caller", "Other")
    assert steered.get(LEAF).status == 200
    steered.add("fault", "add", "status", "503", "--caller", "Mine")
    assert steered.daemon.imds.get(LEAF).status == 503
    steered.do("fault", "clear", "status-3")
    steered.add("fault", "add", "status", "429", "--caller", "127.0.0.1")
    assert steered.daemon.imds.get(LEAF).status == 429
    assert [fault["played"] for fault in steered.faults()] == [0, 0, 1]
    assert "Mine, Other" in steered.refused("fault", "add", "hang", "--caller", "Nobody")


def test_times_limits_a_fault(steered):
    steered.add("fault", "add", "status", "500", "--times", "2")
    assert [steered.daemon.imds.get(LEAF).status for _ in range(4)] == [500, 500, 200, 200]
    (fault,) = steered.faults()
    assert (fault["phase"], fault["played"], fault["times-left"]) == ("over", 2, 0)


def test_for_limits_a_fault(steered):
    with span() as done:
        steered.add("fault", "add", "status", "500", "--for", "2s")
    assert steered.daemon.imds.get(LEAF).status == 500
    assert done.holds(parse(steered.faults()[0]["until"]), seconds=2)
    until(lambda: steered.daemon.imds.get(LEAF).status == 200, "the fault is over", every=0.05)
    assert now() >= done.begin + timedelta(seconds=2)
    assert steered.faults()[0]["phase"] == "over"


def test_rate_strikes_a_share(steered):
    steered.add("fault", "add", "status", "500", "--rate", "0.3")
    with Connection(steered.daemon.address) as connection:
        answers = []
        for _ in range(1000):
            connection.send(request_bytes("GET", LEAF, {"Connection": "keep-alive"}))
            answers.append(connection.answer().status)
    struck = answers.count(500)
    # Ten standard deviations around 300 of 1000.
    assert 155 < struck < 445 and struck + answers.count(200) == 1000
    assert steered.faults()[0]["played"] == struck


def test_several_faults_at_once(steered):
    """Delays add up; of the others the first that strikes decides."""
    steered.add("fault", "add", "delay", "150ms")
    steered.add("fault", "add", "status", "503", "--times", "1")
    steered.add("fault", "add", "close", "--times", "1")
    steered.add("fault", "add", "delay", "150ms")
    begun = time.monotonic()
    assert steered.daemon.imds.get(LEAF).status == 503
    assert time.monotonic() - begun >= 0.3
    with pytest.raises(Closed):
        steered.daemon.imds.get(LEAF)
    assert steered.daemon.imds.get(LEAF).status == 200
    marks = [line.partition(" fault ")[2] for line in lines(steered, LEAF, 3)]
    assert marks == [
        "delay 150ms (delay-1), status 503 (status-2), delay 150ms (delay-4)",
        "delay 150ms (delay-1), close (close-3), delay 150ms (delay-4)",
        "delay 150ms (delay-1), delay 150ms (delay-4)",
    ]


def test_faults_last_across_a_reload_until_a_reset_and_not_across_a_restart(steered):
    steered.add("fault", "add", "status", "500", "--path", "mac")
    steered.do("reload")
    assert steered.get("mac").status == 500
    steered.do("reload", "--reset")
    assert steered.get("mac").status == 200 and steered.faults() == []
    steered.add("fault", "add", "status", "500", "--path", "mac")
    steered.daemon.restart()
    assert steered.get("mac").status == 200 and steered.faults() == []


def test_clear_takes_ids_or_all(steered):
    for _ in range(3):
        steered.add("fault", "add", "hang", "--path", "mac")
    assert 'there is no fault "hang-9": faults are hang-1, hang-2, hang-3' in steered.refused("fault", "clear", "hang-1", "hang-9")
    assert steered.do("fault", "clear", "hang-1", "hang-3") == "cleared: 2\n"
    assert [fault["id"] for fault in steered.faults()] == ["hang-2"]
    assert steered.do("fault", "clear") == "cleared: 1\n"
    assert 'there is no fault "x": there are none' in steered.refused("fault", "clear", "x")


def test_a_log_without_requests_still_tells_of_faults(steer):
    """Whoever reads the log finds the fault that explains what clients complain of."""
    steered = steer('[log]\nlevel = "info"\n')
    steered.add("fault", "add", "status", "503", "--path", "iam/*", "--for", "30s")
    line = steered.daemon.wait_for_log("fault added")
    assert "status 503" in line and "iam/*" in line
    steered.do("fault", "clear")
    steered.daemon.wait_for_log("faults cleared: 1")


def test_there_is_a_bound_on_faults_and_those_that_are_over_make_room(steered):
    with Control(steered.daemon) as control:
        for _ in range(99):
            control.ask("POST", "/v1/faults", {"fault": "hang", "path": "mac"})
        control.ask("POST", "/v1/faults", {"fault": "status", "status": 500, "times": 1, "path": "local-ipv4"})
        with pytest.raises(Refused) as refused:
            control.ask("POST", "/v1/faults", {"fault": "hang"})
        assert "there are 100 already: clear some first" in refused.value.reason
        assert steered.daemon.imds.get("/latest/meta-data/local-ipv4").status == 500
        control.ask("POST", "/v1/faults", {"fault": "hang", "path": "mac"})


def test_the_daemon_checks_what_it_is_told_by_itself(steered):
    with Control(steered.daemon) as control:
        for body, reason in [
            ({"fault": "hang", "pth": "mac"}, '"pth" says nothing about hang'),
            ({"fault": "status", "status": 503, "per_second": 5}, '"per_second" says nothing about status'),
            ({"fault": "explode"}, "unknown variant `explode`"),
            ({"fault": "status"}, "missing field `status`"),
            ({"fault": "status", "status": 418}, "give one of 401, 403"),
            ({"fault": "hang", "times": 0}, "times: 0 times"),
            ({}, "fault"),
        ]:
            with pytest.raises(Refused) as refused:
                control.ask("POST", "/v1/faults", body)
            assert refused.value.status == 400 and reason in refused.value.reason, (body, refused.value)
    assert steered.faults() == []
