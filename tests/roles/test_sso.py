"""Profiles of IAM Identity Center, against a stand-in of it (moto serves none) that boto3 is content with."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from support.daemon import Background, clean_environment, run
from support.roles import command, identity, served, shown
from support.wait import until

ARN = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Developer_0123456789abcdef/ann"
APP = '[roles.App]\nsource = "profile"\nprofile = "sso"\n'


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def daemon(aws, standin_sso, home):
    aws.config.write_text(standin_sso.profile())
    return lambda: aws.daemon(APP, env={"HOME": str(home)})


def test_boto3_takes_the_stand_in_for_identity_center(aws, standin_sso, home, moto):
    """A login that has run out and is renewed, and its credentials: by the same files that the daemon reads."""
    aws.config.write_text(standin_sso.profile())
    standin_sso.log_in(home, lasting=-60)
    env = clean_environment(home, AWS_CONFIG_FILE=str(aws.config), AWS_PROFILE="sso")
    script = Path(__file__).parent / "caller_identity.py"
    result = run(Path(sys.executable), str(script), moto.url, env=env)
    assert result.returncode == 0, result
    assert json.loads(result.stdout) == {"method": "sso", "arn": ARN}
    assert standin_sso.calls == ["/token", "/federation/credentials"]


def test_the_login_that_is_there_is_used(daemon, standin_sso, home, moto):
    standin_sso.log_in(home)
    assert identity(daemon(), moto) == ARN
    assert standin_sso.calls == ["/federation/credentials"]


def test_a_login_that_runs_out_is_renewed_without_a_person(daemon, standin_sso, home, moto):
    file = standin_sso.log_in(home, lasting=-60)
    before = json.loads(file.read_text())
    assert identity(daemon(), moto) == ARN
    assert standin_sso.calls == ["/token", "/federation/credentials"]
    after = json.loads(file.read_text())
    assert after["accessToken"] != before["accessToken"] and after["refreshToken"] != before["refreshToken"]
    assert os.stat(file).st_mode & 0o777 == 0o600


def test_without_a_login_the_answer_says_what_to_type(daemon, standin_sso):
    running = daemon()
    document = served(running)
    assert document["Code"] != "Success"
    status = shown(running)
    assert status["needs-person"] is True
    for text in (document["Message"], status["last-error"]):
        assert "fake-metadata role login App" in text
    running.wait_for_log("fake-metadata role login App")
    assert "waits for a person" in command(running, "list")


def test_a_login_that_cannot_be_renewed_waits_for_a_person_and_the_next_one_mends_it(
    daemon, standin_sso, home, moto
):
    standin_sso.log_in(home, lasting=-60)
    standin_sso.end_sessions()
    running = daemon()
    assert served(running)["Code"] != "Success"
    assert shown(running)["needs-person"] is True
    standin_sso.log_in(home)
    command(running, "refresh", "App")
    assert identity(running, moto) == ARN


def test_no_secret_of_a_login_is_in_the_log(daemon, standin_sso, home):
    standin_sso.log_in(home, lasting=-60)
    running = daemon()
    assert served(running)["Code"] == "Success"
    standin_sso.end_sessions()
    command(running, "refresh", "App", code=1)
    assert len(standin_sso.secrets) > 5
    assert not [secret for secret in standin_sso.secrets if secret in running.log]



def test_role_login_prints_the_page_and_the_code_and_keeps_the_login(daemon, standin_sso, home, moto):
    running = daemon()
    assert served(running)["Code"] != "Success"
    logging_in = Background(command, running, "login", "App")
    until(lambda: standin_sso.calls.count("/token") > 0, "it asks whether the person has said yes", within=20)
    assert served(running)["Code"] != "Success"
    standin_sso.approve()
    out = logging_in.join()
    assert f"user_code={standin_sso.user_code}" in out and "logged in" in out and "App: good for" in out
    assert identity(running, moto) == ARN
    [file] = (home / ".aws" / "sso" / "cache").iterdir()
    assert os.stat(file).st_mode & 0o777 == 0o600
    # The same login after a restart.
    running.restart()
    assert identity(running, moto) == ARN
    assert not [secret for secret in standin_sso.secrets if secret in running.log + out]


def test_logins_at_a_service_that_hangs_keep_nobody_else_waiting(aws, standin_sso, home):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hung:
        url = f"http://127.0.0.1:{hung.getsockname()[1]}"
        aws.config.write_text(standin_sso.profile().replace(standin_sso.url, url))
        running = aws.daemon(APP, env={"HOME": str(home)})
        logins = [Background(lambda: command(running, "login", "App", code=1)) for _ in range(3)]
        hung.settimeout(20)
        waiting = [hung.accept() for _ in logins]
        assert "App" in command(running, "list")
        assert all(login.thread.is_alive() for login in logins), "the answer came only after theirs"
        for login in logins:
            assert "gave no code within 10 s" in login.join()
        assert len(waiting) == 3


def test_role_login_of_a_role_that_has_none_is_refused(aws):
    running = aws.daemon("[roles.App]\n")
    assert "no login" in command(running, "login", "App", code=1)
    assert "role list" in command(running, "login", "Nobody", code=2)
