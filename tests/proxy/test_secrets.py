"""No credentials of the upstream's instance come through, in whatever spelling their path is asked for.

Against a real upstream, and against one that reads paths as carelessly as can be: it decodes them until nothing is
left to decode, ignores case, parameters and what it does not know, and hands out keys wherever it finds
`meta-data/iam` or `security-credentials`.
"""

import json
import re
import urllib.parse

import pytest

from support.spellings import ask_all, secrets_in, spellings
from support.upstream import StandInUpstream, reply
from support.wait import until
from support.wire import Closed, Connection, request_bytes

ROLES = "/latest/meta-data/iam/security-credentials/"
IDENTITY = "/latest/meta-data/identity-credentials/ec2/security-credentials/"
SPELLINGS = spellings("HostRole")
THERE = """
tokens = "{tokens}"
[instance]
account-id = "999999999999"
[roles.HostRole]
extended = true
"""


def test_there_are_many_spellings():
    assert len(SPELLINGS) > 800


@pytest.mark.parametrize("tokens", ["required", "optional"])
@pytest.mark.parametrize("role", [True, False], ids=["a caller with a role", "a caller without"])
def test_a_real_upstreams_credentials_never_come_through(serve, tokens, role):
    upstream = serve(THERE.format(tokens=tokens))
    secrets = secrets_in(upstream.imds.text(ROLES + "HostRole"))
    secrets += secrets_in(upstream.imds.text(IDENTITY + "ec2-instance"))
    assert len(set(secrets)) == 6
    asked_directly = len(credential_lines(upstream))
    daemon = serve(f'upstream = "{upstream.url}"\n[callers]\ndefault = {str(role).lower()}\n')
    if role:
        # Ours are served, or this would prove nothing.
        own = daemon.imds.text(ROLES + "BaseIAMRole")
        assert json.loads(own)["Code"] == "Success" and not any(secret in own for secret in secrets)
    for answer in ask_all(daemon, SPELLINGS, "GET"):
        text = answer.decode("latin-1")
        assert answer.startswith(b"HTTP/1.1 "), answer
        assert not any(secret in text for secret in secrets)
        assert "HostRole" not in text and "999999999999:instance-profile" not in text, text
    assert daemon.imds.get("/latest/meta-data/instance-id").status == 200
    until(lambda: upstream.log.count("GET /latest/meta-data/instance-id 200"), "the upstream's log is written out")
    assert len(credential_lines(upstream)) == asked_directly, "nothing of the kind was even asked for"


def credential_lines(upstream) -> list[str]:
    """Lines of the upstream's log about paths that anybody could take for credentials."""
    return [line for line in upstream.log.splitlines() if re.search("GET .*(meta-data/iam|security-cred)", line.lower())]


KEYS = b'{"Code":"Success","AccessKeyId":"ASIAHOSTHOSTHOSTHOST","SecretAccessKey":"hostsecret","Token":"hosttoken"}'


def careless(asked) -> bytes:
    """Reads a path in whatever way leads to credentials."""
    path, before = asked.target, None
    while path != before:
        path, before = urllib.parse.unquote(path, errors="ignore"), path
    letters = re.sub("[^a-z0-9/-]", "", path.lower().replace("\\", "/"))
    is_credentials = re.search("meta-data[^/]*/+[^/]?iam", letters) or "security-credentials" in letters
    return reply("200 OK", KEYS if is_credentials else b"harmless")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "get", "XGET"])
def test_not_even_from_an_upstream_that_reads_paths_carelessly(serve, method):
    with StandInUpstream(careless) as upstream:
        daemon = serve(f'upstream = "{upstream.url}"\n[callers]\ndefault = false\n')
        assert daemon.imds.get("/latest/meta-data/instance-id").text == "harmless"
        targets = SPELLINGS if method == "GET" else SPELLINGS[::7]
        for target, answer in zip(targets, ask_all(daemon, targets, method)):
            assert b"host" not in answer, (target, answer)
        for asked in upstream.read() + upstream.read("HEAD") + upstream.read("OPTIONS"):
            assert b"host" not in careless(asked), asked.target
        assert {asked.method for asked in upstream.asked} <= {"GET", "HEAD", "OPTIONS", "PUT"}
        assert {asked.target for asked in upstream.read("PUT")} == {"/latest/api/token"}


def test_headers_that_name_another_path_are_not_passed_on(serve):
    """What some servers take for the path that is really meant."""
    with StandInUpstream(careless) as upstream:
        daemon = serve(f'upstream = "{upstream.url}"\n')
        names = ["X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Uri", "Referer", "Forwarded"]
        headers = [(name, ROLES + "HostRole") for name in names]
        for answer in ask_all(daemon, ["/latest/meta-data/instance-id"], "GET", headers):
            assert answer.endswith(b"harmless")
        assert not any(asked.get(name) for asked in upstream.asked for name in names)


def test_two_requests_in_one_are_not_two_to_the_upstream(serve):
    """Bodies are not passed on, so that nothing in one can be read as a request of its own there."""
    with StandInUpstream(careless) as upstream:
        daemon = serve(f'upstream = "{upstream.url}"\n')
        hidden = request_bytes("GET", ROLES + "HostRole")
        for headers in (
            {"Content-Length": str(len(hidden))},
            {"Transfer-Encoding": "chunked"},
            {"Content-Length": "0", "Transfer-Encoding": "chunked"},
        ):
            with Connection(daemon.address) as connection:
                connection.send(request_bytes("GET", "/latest/meta-data/instance-id", headers, body=hidden))
                try:
                    connection.answer()
                except Closed:
                    pass
                assert b"host" not in connection.buffer
        assert {asked.target for asked in upstream.read()} <= {"/", "/latest/meta-data/instance-id"}
