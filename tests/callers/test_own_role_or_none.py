"""Whatever a caller writes for a path, it is given its own role or a 404: three callers, two roles."""

import json

import pytest

from support.roles import ROLE
from support.spellings import ask_all, secrets_in, spellings
from support.wire import Connection, request_bytes

INFO = "/latest/meta-data/iam/info"
DOCUMENT = "/latest/dynamic/instance-identity/document"
# Two roles of one name, on two paths: what is listed of them is the same, what they are is not.
CONFIG = """
[roles."one/App"]
[roles."two/App"]
instance-profile-name = "own/profile"
[roles."two/App".tree]
"meta-data/placement/region" = "eu-west-3"
"meta-data/only/here" = "yes"
"meta-data/profile" = false
"dynamic/instance-identity/document" = '{"accountId": "222222222222"}'
[callers]
default = false
[callers.networks]
"127.0.0.1" = "one/App"
"127.0.0.2" = "two/App"
"""
ONE, TWO, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"


@pytest.fixture(scope="module")
def daemon(serve_module):
    return serve_module(CONFIG)


def ask(daemon, source: str, path: str):
    with Connection(daemon.address, source=source) as connection:
        connection.send(request_bytes("GET", path))
        return connection.answer()


def credentials(daemon, source: str) -> list[str]:
    return secrets_in(ask(daemon, source, ROLE + "App").text)


def test_a_role_with_a_path_is_listed_without_it(daemon):
    assert ask(daemon, ONE, ROLE).text == ask(daemon, TWO, ROLE).text == "App"
    for name in ("one/App", "two/App", "one%2FApp", "Other", "app", "App/x"):
        assert ask(daemon, ONE, ROLE + name).status == 404
    assert ":instance-profile/App" in ask(daemon, ONE, INFO).text
    assert ":instance-profile/own/profile" in ask(daemon, TWO, INFO).text


def test_two_roles_of_one_name_never_share_credentials(daemon):
    assert not set(credentials(daemon, ONE)) & set(credentials(daemon, TWO))


@pytest.mark.parametrize("source", [ONE, TWO, NOBODY])
def test_any_spelling_gives_the_callers_own_role_or_nothing(daemon, source):
    everybodys = {caller: credentials(daemon, caller) for caller in (ONE, TWO)}
    others = [secret for caller, secrets in everybodys.items() if caller != source for secret in secrets]
    own = 0
    for target, answer in zip(targets := spellings("App"), ask_all(daemon, targets, source=source)):
        text = answer.decode("latin-1")
        status = text.split(" ")[1]
        assert not any(secret in text for secret in others), target
        if source == NOBODY:
            assert "App" not in text, target
        elif everybodys[source][0] in text:
            assert status == "200"
            own += 1
    assert own > 20 if source != NOBODY else own == 0


def test_the_rest_of_the_tree_can_differ_by_role(daemon):
    region = "/latest/meta-data/placement/region"
    assert [ask(daemon, caller, region).text for caller in (ONE, TWO, NOBODY)] == ["us-east-1", "eu-west-3", "us-east-1"]
    only = "/latest/meta-data/only/here"
    assert [ask(daemon, caller, only).status for caller in (ONE, TWO, NOBODY)] == [404, 200, 404]
    assert json.loads(ask(daemon, TWO, DOCUMENT).text) == {"accountId": "222222222222"}
    assert json.loads(ask(daemon, ONE, DOCUMENT).text)["accountId"] == "123456789012"
    menus = [ask(daemon, caller, "/latest/meta-data/").text.split() for caller in (ONE, TWO, NOBODY)]
    assert ["iam/" in menu for menu in menus] == [True, True, False]
    assert ["only/" in menu for menu in menus] == [False, True, False]
    assert ["profile" in menu for menu in menus] == [True, False, True]


def test_a_document_of_its_own_is_signed(daemon):
    one, two = (ask(daemon, caller, "/latest/dynamic/instance-identity/signature") for caller in (ONE, TWO))
    assert one.status == two.status == 200 and one.body != two.body
