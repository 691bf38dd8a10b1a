"""STS stopped, slow, failing, garbled: what a client sees, cold and once there is something cached."""

import json
import time
from contextlib import contextmanager

import pytest

from support.daemon import Background, run
from support.moto import error_of_sts
from support.roles import ROLE, command, served, shown
from support.wait import until
from support.wire import Connection, request_bytes

ARN = "arn:aws:iam::111122223333:role/App"
APP = f'[roles.App]\nsource = "assume-role"\nrole-arn = "{ARN}"\n'
# What SDKs wait for an answer of the metadata service (reference 6.2).
SDK_TIMEOUT = 1.0


def stopped(sts):
    sts.stop()


def slow(sts):
    sts.delay = 5.0


def failing(sts):
    sts.status, sts.body = 500, "<html>Internal Server Error</html>"


def garbled(sts):
    sts.body = "surely no XML"


def expired(sts):
    sts.lifetime = -60.0


def denying(sts):
    sts.status = 403
    sts.body = error_of_sts("AccessDenied", "User: ann is not authorized to perform: sts:AssumeRole")


def keys_expired(sts):
    sts.status, sts.body = 403, error_of_sts("ExpiredToken", "The security token included in the request is expired")


TROUBLES = [stopped, slow, failing, garbled, expired, denying, keys_expired]
# What is told of each. A slow STS is one that answers in the end.
TOLD = {stopped: "refused", failing: "answer", garbled: "answer", expired: "expired", denying: "AccessDenied", keys_expired: "ExpiredToken"}


@contextmanager
def trouble(sts, kind):
    """An STS in trouble, and well again after that."""
    kind(sts)
    yield
    sts.heal()
    if kind is stopped:
        sts.start()


def answer(daemon, timeout: float) -> dict:
    """The role's document, within a client's timeout."""
    with Connection(daemon.address, timeout=timeout) as connection:
        connection.send(request_bytes("GET", ROLE + "App"))
        reply = connection.answer("GET")
    assert reply.status == 200
    return json.loads(reply.body)


@pytest.mark.parametrize("kind", list(TOLD), ids=lambda kind: kind.__name__)
def test_cold_a_client_is_told_why_and_served_when_it_is_over(aws, sts, kind):
    with trouble(sts, kind):
        daemon = aws.daemon(APP)
        document = answer(daemon, 30)
        assert list(document) == ["Code", "Message", "LastUpdated"]
        assert document["Code"] != "Success"
        status = shown(daemon)
        assert status["serving"] is False and TOLD[kind] in status["last-error"]
        # What AWS denies is told in EC2's own words.
        assert document["Code"] == "AssumeRoleUnauthorizedAccess" or status["last-error"] in document["Message"]
        # The failure is known by now: it is told without asking again.
        asked = len(sts.calls)
        assert answer(daemon, SDK_TIMEOUT)["Code"] == document["Code"]
        assert len(sts.calls) - asked <= 1
    until(lambda: served(daemon)["Code"] == "Success", "the role is served", within=60)


def test_what_aws_denies_has_ec2s_own_code(aws, sts):
    denying(sts)
    assert answer(aws.daemon(APP), 30)["Code"] == "AssumeRoleUnauthorizedAccess"


def test_cold_a_slow_sts_is_waited_for(aws, sts):
    """The first client's own timeout may end before; what it started is there for its retry."""
    sts.delay = 5.0
    daemon = aws.daemon(APP)
    with pytest.raises(TimeoutError):
        answer(daemon, SDK_TIMEOUT)
    assert answer(daemon, 20)["Code"] == "Success"
    assert sts.actions() == ["AssumeRole"]


@pytest.mark.parametrize("kind", TROUBLES, ids=lambda kind: kind.__name__)
def test_once_cached_every_answer_comes_from_memory(aws, sts, kind):
    daemon = aws.daemon(APP)
    good = served(daemon)
    assert good["Code"] == "Success"
    with trouble(sts, kind):
        refresh = Background(run, daemon.binary, "role", "refresh", "App", "--control", str(daemon.control))
        while refresh.thread.is_alive():
            assert answer(daemon, SDK_TIMEOUT) in (good, served(daemon))
            time.sleep(0.02)
        outcome = refresh.join()
        after = answer(daemon, SDK_TIMEOUT)
        if kind is slow:
            assert outcome.returncode == 0 and after["AccessKeyId"] != good["AccessKeyId"]
        else:
            assert outcome.returncode == 1 and "failing" in outcome.stdout
            assert after == good
            assert shown(daemon)["last-error"]
    command(daemon, "refresh", "App")
    assert served(daemon)["AccessKeyId"] != good["AccessKeyId"]
    assert shown(daemon)["last-error"] is None


def test_the_last_good_credentials_are_served_until_they_expire_and_never_after(aws, sts):
    sts.lifetime = 15.0
    daemon = aws.daemon(APP)
    good = served(daemon)
    assert good["Code"] == "Success"
    failing(sts)
    command_fails(daemon)
    assert answer(daemon, SDK_TIMEOUT) == good
    until(lambda: answer(daemon, 30)["Code"] != "Success", "they expire", within=30)
    last = answer(daemon, 30)
    assert "SecretAccessKey" not in last


def command_fails(daemon):
    assert run(daemon.binary, "role", "refresh", "App", "--control", str(daemon.control)).returncode == 1


def test_500_simultaneous_cold_requests_are_one_call(aws, sts):
    sts.delay = 2.0
    daemon = aws.daemon(APP)
    connections = [Connection(daemon.address, timeout=30) for _ in range(500)]
    for connection in connections:
        connection.send(request_bytes("GET", ROLE + "App"))
    keys = {json.loads(connection.answer("GET").body)["AccessKeyId"] for connection in connections}
    for connection in connections:
        connection.close()
    assert len(keys) == 1
    assert sts.actions() == ["AssumeRole"]


def test_500_simultaneous_requests_after_the_credentials_were_dropped_are_one_call_more(aws, sts):
    daemon = aws.daemon(APP)
    first = served(daemon)["AccessKeyId"]
    sts.delay = 2.0
    command(daemon, "expire", "App")
    connections = [Connection(daemon.address, timeout=30) for _ in range(500)]
    for connection in connections:
        connection.send(request_bytes("GET", ROLE + "App"))
    keys = {json.loads(connection.answer("GET").body)["AccessKeyId"] for connection in connections}
    for connection in connections:
        connection.close()
    assert len(keys) == 1 and first not in keys
    assert sts.actions() == ["AssumeRole"] * 2


def test_a_client_that_goes_away_does_not_cancel_the_call_for_the_rest(aws, sts):
    sts.delay = 2.0
    daemon = aws.daemon(APP)
    leaving, staying = ([Connection(daemon.address, timeout=30) for _ in range(10)] for _ in range(2))
    for connection in leaving + staying:
        connection.send(request_bytes("GET", ROLE + "App"))
    until(lambda: sts.calls, "STS is asked")
    for connection in leaving:
        connection.reset()
    for connection in staying:
        assert json.loads(connection.answer("GET").body)["Code"] == "Success"
        connection.close()
    assert sts.actions() == ["AssumeRole"]


def test_the_first_answer_after_the_start_comes_from_memory(aws, sts):
    daemon = aws.daemon(APP)
    until(lambda: shown(daemon)["serving"], "the role is fetched ahead")
    calls = len(sts.calls)
    assert answer(daemon, SDK_TIMEOUT)["Code"] == "Success"
    assert len(sts.calls) == calls == 1
