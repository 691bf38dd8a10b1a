"""Which Host is answered: a page in a browser must not read credentials by pointing its own name at this address."""

import pytest

from support.expected import EMPTY
from support.wire import Connection, exchange

CREDENTIALS = "/latest/meta-data/iam/security-credentials/BaseIAMRole"
ANSWERED = [
    "169.254.169.254",
    "169.254.169.254:80",
    "127.0.0.1:8000",
    "10.0.0.1",
    "[fd00:ec2::254]",
    "[::1]:8000",
    "localhost",
    "LOCALHOST:8000",
    "localhost.",
]
REFUSED = [
    "evil.example",
    "evil.example:80",
    "169.254.169.254.evil.example",
    "localhost.evil.example",
    "evillocalhost",
    "metadata",
    "",
    "[evil]",
    "127.0.0.1@evil.example",
    "evil.example, 127.0.0.1",
]


@pytest.mark.parametrize("host", ANSWERED)
def test_literals_and_localhost_are_answered(default_daemon, host):
    assert exchange(default_daemon.address, "GET", CREDENTIALS, host=host).status == 200


@pytest.mark.parametrize("host", REFUSED)
def test_any_other_host_is_refused(default_daemon, host):
    answer = exchange(default_daemon.address, "GET", CREDENTIALS, host=host)
    assert b"SecretAccessKey" not in answer.body
    # hyper refuses by itself, with 400, a Host that is none.
    assert (answer.status, answer.body) in [(403, b""), (400, b"")]


def test_the_refusal_is_403_with_the_headers_of_a_403(default_daemon):
    answer = exchange(default_daemon.address, "GET", "/", host="evil.example")
    assert (answer.status, answer.names) == (403, EMPTY)
    assert answer.get("Server") == "EC2ws"


def test_no_method_gets_past_the_check(default_daemon):
    for method, path in [("PUT", "/latest/api/token"), ("HEAD", CREDENTIALS), ("OPTIONS", "/"), ("POST", "/")]:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        assert exchange(default_daemon.address, method, path, headers, host="evil.example").status == 403


def test_the_log_says_which_setting_would_allow_it_in_one_line(serve):
    daemon = serve()
    exchange(daemon.address, "GET", "/", host="my-box.test")
    daemon.wait_for_log("my-box.test")
    lines = [line for line in daemon.log.splitlines() if "my-box.test" in line]
    assert len(lines) == 1
    assert "hosts" in lines[0]


def test_a_name_in_hosts_is_answered(serve):
    daemon = serve('hosts = ["my-box.test"]\n')
    for host in ("my-box.test", "MY-BOX.test:80"):
        assert exchange(daemon.address, "GET", CREDENTIALS, host=host).status == 200
    assert exchange(daemon.address, "GET", CREDENTIALS, host="sub.my-box.test").status == 403


def test_two_host_headers_are_refused(default_daemon):
    answer = exchange(default_daemon.address, "GET", CREDENTIALS, {"Host": "evil.example"}, host="127.0.0.1")
    assert answer.status in (400, 403)


def test_http_1_1_without_a_host_reads_no_credentials(default_daemon):
    """Only HTTP/1.0 may leave it out."""
    answer = exchange(default_daemon.address, "GET", CREDENTIALS, host=None)
    assert answer.status in (400, 403)


def test_the_authority_of_an_absolute_target_counts_as_the_host(default_daemon):
    with Connection(default_daemon.address) as connection:
        connection.send(f"GET http://evil.example{CREDENTIALS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        answer = connection.answer()
    assert answer.status in (400, 403)
