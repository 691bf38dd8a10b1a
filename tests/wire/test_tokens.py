"""Session tokens on the wire (reference 2) and the settings that concern them."""

import base64
import re

import pytest

from support.expected import EMPTY
from support.wait import until
from support.wire import TTL_HEADER, exchange

LEAF = "/latest/meta-data/instance-id"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


@pytest.fixture(scope="module")
def required(serve_module):
    return serve_module('tokens = "required"\n').imds


def test_a_token_is_56_characters_of_url_safe_base64(imds):
    for _ in range(50):
        token = imds.token()
        assert re.fullmatch(r"AQAEA[A-Za-z0-9_-]{49}==", token)
        assert len(base64.urlsafe_b64decode(token)) == 40


def test_each_request_gives_another_token_and_all_stay_valid(imds):
    tokens = {imds.token() for _ in range(50)}
    assert len(tokens) == 50
    assert {imds.get(LEAF, token).status for token in tokens} == {200}


@pytest.mark.parametrize("ttl", [1, 60, 21599, 21600])
def test_a_ttl_within_six_hours_is_granted(imds, ttl):
    answer = imds.put(ttl)
    assert (answer.status, answer.get(TTL_HEADER)) == (200, str(ttl))
    assert imds.get(LEAF, answer.text).status == 200


def test_a_ttl_of_0_gives_a_token_that_is_never_good(imds):
    answer = imds.put(0)
    assert (answer.status, answer.get(TTL_HEADER), len(answer.body)) == (200, "0", 56)
    assert imds.get(LEAF, answer.text).status == 401


@pytest.mark.parametrize("ttl", ["-1", "21601", "99999999999999999999999", "invalid", "", "1e3", "0x10", "6 0", None])
def test_any_other_ttl_is_a_bad_request(imds, ttl):
    answer = imds.put(ttl)
    assert (answer.status, answer.body, answer.names) == (400, b"", EMPTY)


def test_a_token_expires_after_its_ttl(imds):
    token = imds.token(1)
    until(lambda: imds.get(LEAF, token).status == 401, "the token expires", within=5)


def test_the_seconds_left_count_down(imds):
    token = imds.token(100)
    until(lambda: int(imds.get(LEAF, token).get(TTL_HEADER)) < 100, "a second passes", within=5)


@pytest.mark.parametrize("value", ["192.0.2.1", "", "unknown"])
def test_a_token_request_with_x_forwarded_for_is_forbidden(imds, value):
    answer = imds.put(60, headers=[("X-Forwarded-For", value)])
    assert (answer.status, answer.body) == (403, b"")


def test_the_token_path_may_have_a_trailing_slash(imds):
    answer = imds.put(60, "/latest/api/token/")
    assert (answer.status, len(answer.body)) == (200, 56)


@pytest.mark.parametrize("version", ["1.0", "2009-04-04", "2021-03-23", "2026-04-15"])
def test_a_token_under_a_dated_version_is_forbidden(imds, version):
    answer = imds.put(60, f"/{version}/api/token", [(TOKEN, imds.token())])
    assert (answer.status, answer.body) == (403, b"")


def mangled(token: str) -> list[str]:
    flipped = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
    return [flipped, token[:-2], token[:55], token + "A", "x", "", "AQAEA" + "A" * 49 + "==", token.lower(), token[::-1]]


def test_in_optional_mode_a_wrong_token_is_401(imds):
    for token in mangled(imds.token()):
        answer = imds.get(LEAF, token)
        assert (answer.status, answer.body) == (401, b""), token


def test_in_required_mode_a_wrong_token_is_401(required):
    for token in mangled(required.token()):
        assert required.get(LEAF, token).status == 401, token


def test_two_different_tokens_in_one_request_are_401(imds):
    answer = imds.get(LEAF, imds.token(), [(TOKEN, imds.token())])
    assert answer.status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", LEAF),
        ("HEAD", LEAF),
        ("POST", LEAF),
        ("OPTIONS", LEAF),
        ("GET", "/nothing"),
        ("GET", "/0000-00-00/"),
        ("PUT", "/2021-03-23/api/token"),
        ("GET", "/latest/meta-data/iam/security-credentials/BaseIAMRole"),
        ("GET", "/latest/dynamic/instance-identity/rsa2048"),
    ],
)
def test_in_required_mode_nothing_is_answered_without_a_token(required, method, path):
    answer = required.get(path, method=method)
    assert (answer.status, answer.body) == (401, b"")


def test_in_required_mode_a_token_reads_everything(required):
    token = required.token()
    assert required.get(LEAF, token).status == 200
    assert required.get("/nothing", token).status == 404


def test_another_daemons_token_is_401(imds, required):
    assert required.get(LEAF, imds.token()).status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", LEAF), ("PUT", "/latest/api/token"), ("HEAD", LEAF), ("OPTIONS", LEAF), ("GET", "/nothing")],
)
def test_a_disabled_endpoint_forbids_everything(serve_module, method, path):
    daemon = serve_module('endpoint = "disabled"\n')
    answer = exchange(daemon.address, method, path, {TTL: "60"} if method == "PUT" else {})
    assert (answer.status, answer.body) == (403, b"")


def test_tags_are_absent_unless_enabled(serve):
    imds = serve('[instance]\ninstance-metadata-tags = "disabled"\n[instance.tags]\nName = "x"\n').imds
    menu = imds.text("/latest/meta-data/").split("\n")
    assert "tags/" not in menu and "tag-sets/" not in menu
    for path in ("tags/", "tags/instance/Name", "tag-sets/", "tag-sets/instance"):
        assert imds.get(f"/latest/meta-data/{path}").status == 404


def test_tags_are_shown_when_enabled(serve):
    imds = serve('[instance]\ninstance-metadata-tags = "enabled"\n[instance.tags]\nName = "x"\nsuite = "y z/é"\n').imds
    assert imds.meta("tags/instance/") == "Name\nsuite"
    assert imds.meta("tags/instance/suite") == "y z/é"
    assert imds.meta("tag-sets/instance") == '{"Name":"x","suite":"y z/é"}'


def test_enabled_tags_without_any_tag_are_an_empty_set_and_no_directory(serve):
    imds = serve('[instance]\ninstance-metadata-tags = "enabled"\n').imds
    assert imds.get("/latest/meta-data/tags/instance/").status == 404
    assert "tags/" not in imds.text("/latest/meta-data/").split("\n")
    assert imds.meta("tag-sets/instance") == "{}"
