"""What unmodified SDKs do when the service fails: as measured on EC2 (reference 6.2 to 6.5), requests counted in the log.

Each SDK is asked for the role's credentials once, while a fault is played. `None` as what it ends with means that it
says there are none.
"""

import json
import re
import shutil
import sys
import time

import pytest

from conftest import TESTS
from support.daemon import clean_environment, run
from support.steered import Steered

CLIENTS = TESTS / "clients"
LINE = re.compile(r"\S+ \[INFO\] \S+ (GET|PUT) (/\S*) (\d+|-) \d+us (v[12])(?: fault (.*))?$")
PATHS = {
    "/latest/api/token": "token",
    "/latest/meta-data/iam/security-credentials/": "list",
    "/latest/meta-data/iam/security-credentials/BaseIAMRole": "role",
}


class Client:
    """One SDK: a command that prints what it got, and how to read that."""

    def __init__(self, argv: list[str], read, env: dict[str, str] | None = None):
        self.argv = argv
        self.read = read
        self.env = env or {}


@pytest.fixture(scope="module")
def clients(venv_program, javascript_folder, rust_credentials) -> dict[str, Client]:
    # Node looks for packages beside the file that imports them.
    script = shutil.copy(CLIENTS / "javascript" / "credentials.mjs", javascript_folder / "credentials.mjs")

    def rust(text: str) -> dict:
        what, _, rest = text.strip().partition(" ")
        kind, _, message = rest.partition(" ")
        return {"key": rest} if what == "key" else {"error": kind, "message": message}

    def javascript(text: str) -> dict:
        return json.loads(text.splitlines()[-1])

    botocore = [sys.executable, str(CLIENTS / "python" / "botocore_credentials.py")]
    return {
        "botocore": Client(botocore, json.loads),
        "javascript": Client([venv_program("node"), str(script)], javascript),
        "rust": Client([str(rust_credentials)], rust),
    }


class Played(Steered):
    """A daemon of one test, and what an SDK makes of it."""

    def ask(self, client: Client, tmp_path, **env: str) -> dict:
        """Asks for credentials; `took` is in seconds, `requests` what came, in order: `what status version`."""
        environment = clean_environment(tmp_path, AWS_EC2_METADATA_SERVICE_ENDPOINT=self.daemon.url, **client.env, **env)
        begun = time.monotonic()
        result = run(*client.argv, env=environment, cwd=tmp_path)
        took = time.monotonic() - begun
        assert result.returncode == 0, result
        # The log is written a little later; the mark says that everything before it is there.
        self.daemon.imds.get("/mark")
        self.daemon.wait_for_log(" /mark ")
        found = [LINE.search(line) for line in self.daemon.log.splitlines()]
        requests = [f"{PATHS.get(match[2], match[2])} {match[3]}" for match in found if match and match[2] != "/mark"]
        versions = {match[4] for match in found if match and match[1] == "GET" and match[2] != "/mark"}
        return {**client.read(result.stdout), "took": took, "requests": requests, "versions": versions}


@pytest.fixture
def played(serve, binary) -> Played:
    return Played(binary, serve())


def fault(played: Played, argv: str):
    played.add("fault", "add", *argv.split())


def assert_key(played: Played, answer: dict):
    role = json.loads(played.daemon.imds.get("/latest/meta-data/iam/security-credentials/BaseIAMRole").text)
    assert answer["key"] == role["AccessKeyId"], answer


@pytest.mark.parametrize("name", ["botocore", "javascript", "rust"])
def test_without_a_fault_each_asks_three_times(played, clients, tmp_path, name):
    answer = played.ask(clients[name], tmp_path)
    assert_key(played, answer)
    assert answer["requests"] == ["token 200", "list 200", "role 200"]
    assert answer["versions"] == {"v2"}


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("name", ["botocore", "javascript"])
def test_a_refused_token_request_makes_these_fall_back_to_v1(played, clients, tmp_path, name, status):
    fault(played, f"status {status} --path api/token")
    answer = played.ask(clients[name], tmp_path)
    assert_key(played, answer)
    assert answer["requests"] == [f"token {status}", "list 200", "role 200"]
    assert answer["versions"] == {"v1"}


@pytest.mark.parametrize("status", [403, 404])
def test_a_refused_token_request_fails_rust(played, clients, tmp_path, status):
    fault(played, f"status {status} --path api/token")
    answer = played.ask(clients["rust"], tmp_path)
    assert "error" in answer
    assert answer["requests"] == [f"token {status}"]


@pytest.mark.parametrize("name", ["botocore", "javascript"])
def test_a_token_request_answered_503_makes_these_fall_back_to_v1(played, clients, tmp_path, name):
    fault(played, "status 503 --path api/token")
    answer = played.ask(clients[name], tmp_path)
    assert_key(played, answer)
    assert answer["requests"] == ["token 503", "list 200", "role 200"]


def test_a_token_request_answered_503_is_tried_four_times_by_rust(played, clients, tmp_path):
    fault(played, "status 503 --path api/token")
    answer = played.ask(clients["rust"], tmp_path)
    assert "error" in answer
    assert answer["requests"] == ["token 503"] * 4


@pytest.mark.parametrize("name", ["botocore", "javascript"])
def test_a_token_request_that_hangs_makes_these_fall_back_to_v1_after_a_second(played, clients, tmp_path, name):
    fault(played, "hang --path api/token")
    answer = played.ask(clients[name], tmp_path)
    assert_key(played, answer)
    assert answer["requests"] == ["token -", "list 200", "role 200"]
    assert answer["took"] >= 1.0


def test_a_token_request_that_hangs_fails_rust_without_a_retry(played, clients, tmp_path):
    fault(played, "hang --path api/token")
    answer = played.ask(clients["rust"], tmp_path)
    assert "error" in answer
    assert answer["requests"] == ["token -"]
    assert answer["took"] >= 1.0


@pytest.mark.parametrize(
    ("name", "error"), [("botocore", None), ("javascript", "ProviderError"), ("rust", "CredentialsNotLoaded")]
)
def test_no_role(played, clients, tmp_path, name, error):
    fault(played, "status 404 --path iam/*")
    answer = played.ask(clients[name], tmp_path)
    assert answer.get("key") is None and answer.get("error") == error, answer
    assert answer["requests"] == ["token 200", "list 404"]


@pytest.mark.parametrize("name", ["botocore", "javascript"])
@pytest.mark.parametrize("status", [401, 503])
def test_one_failure_is_enough_for_these(played, clients, tmp_path, name, status):
    fault(played, f"status {status} --path iam/* --times 1")
    answer = played.ask(clients[name], tmp_path)
    assert answer.get("key") is None and answer.get("error", "") != "SyntaxError", answer
    assert answer["requests"] == ["token 200", f"list {status}"]
    assert [f["phase"] for f in played.faults()] == ["over"]


@pytest.mark.parametrize(("argv", "failures"), [("status 401 --times 1", 1), ("status 503 --times 2", 2), ("status 500 --times 3", 3)])
def test_rust_tries_four_times(played, clients, tmp_path, argv, failures):
    fault(played, f"{argv} --path iam/*")
    answer = played.ask(clients["rust"], tmp_path)
    assert_key(played, answer)
    status = argv.split()[1]
    assert answer["requests"] == ["token 200", *[f"list {status}"] * failures, "list 200", "role 200"]


def test_rust_gives_up_after_four_attempts(played, clients, tmp_path):
    fault(played, "status 503 --path iam/*")
    answer = played.ask(clients["rust"], tmp_path)
    assert "error" in answer
    assert answer["requests"] == ["token 200", *["list 503"] * 4]


def test_botocore_tries_as_often_as_it_is_told(played, clients, tmp_path):
    fault(played, "status 503 --path iam/* --times 2")
    answer = played.ask(clients["botocore"], tmp_path, AWS_METADATA_SERVICE_NUM_ATTEMPTS="3")
    assert_key(played, answer)
    assert answer["requests"] == ["token 200", "list 503", "list 503", "list 200", "role 200"]


@pytest.mark.parametrize("kind", ["delay 3s", "hang"])
@pytest.mark.parametrize("name", ["botocore", "javascript", "rust"])
def test_an_answer_that_is_late_is_none(played, clients, tmp_path, name, kind):
    fault(played, f"{kind} --path iam/*")
    answer = played.ask(clients[name], tmp_path)
    assert answer.get("key") is None, answer
    assert 1.0 <= answer["took"]
    assert [f["played"] for f in played.faults()] == [1], "nobody tries again"


def test_botocore_waits_as_long_as_it_is_told(played, clients, tmp_path):
    fault(played, "delay 1200ms --path iam/*")
    answer = played.ask(clients["botocore"], tmp_path, AWS_METADATA_SERVICE_TIMEOUT="5")
    assert_key(played, answer)
    assert answer["took"] >= 2.4


@pytest.mark.parametrize("kind", ["close", "reset", "truncate"])
@pytest.mark.parametrize("name", ["botocore", "javascript", "rust"])
def test_a_broken_connection_gives_no_credentials(played, clients, tmp_path, name, kind):
    fault(played, f"{kind} --path iam/*")
    answer = played.ask(clients[name], tmp_path)
    assert answer.get("key") is None, answer
    assert (answer.get("error") == "never settled") == ((name, kind) == ("javascript", "truncate")), answer
    # Nobody tries again; botocore takes half of the role's name for the whole and asks for that.
    assert played.faults()[0]["played"] == (2 if (name, kind) == ("botocore", "truncate") else 1), answer


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("botocore", None, ""),
        ("javascript", "CredentialsProviderError", "Invalid response"),
        ("rust", "InvalidConfiguration", "trust"),
    ],
)
def test_a_role_that_ec2_may_not_assume(played, clients, tmp_path, name, error, message):
    fault(played, "credentials-code AssumeRoleUnauthorizedAccess")
    answer = played.ask(clients[name], tmp_path)
    assert answer.get("key") is None and answer.get("error") == error, answer
    assert message in answer.get("message", "")
    assert answer["requests"] == ["token 200", "list 200", "role 200"]


@pytest.mark.parametrize("name", ["botocore", "javascript", "rust"])
def test_expired_credentials_are_used_all_the_same(played, clients, tmp_path, name):
    """Static stability: old credentials may work, none cannot."""
    fault(played, "expired-credentials")
    answer = played.ask(clients[name], tmp_path)
    assert_key(played, answer)
    assert set(answer["requests"]) == {"token 200", "list 200", "role 200"}
