"""A role by address or network, from the configuration and from a mapping file that is read again when it changes."""

import json
import os

import pytest

from support.daemon import run
from support.wait import until

ROLES = "".join(f'[roles.{name}]\nsource = "generated"\n' for name in ("One", "Two", "Base"))


def role(imds) -> str | None:
    """The role that a caller from 127.0.0.1 is given."""
    answer = imds.get("/latest/meta-data/iam/security-credentials/")
    assert answer.status in (200, 404), answer
    return answer.text if answer.status == 200 else None


def config(networks: str = "", default: str = '"Base"', more: str = "") -> str:
    return f"{more}\n{ROLES}\n[callers]\ndefault = {default}\n{networks}"


def test_the_narrowest_network_of_the_configuration(serve):
    networks = '[callers.networks]\n"127.0.0.0/8" = "One"\n"127.0.0.1" = "Two"\n"10.0.0.0/8" = "Base"\n'
    assert role(serve(config(networks)).imds) == "Two"


def test_false_gives_none_and_the_rest_gets_the_default(serve):
    assert role(serve(config('[callers.networks]\n"127.0.0.1" = false\n')).imds) is None
    assert role(serve(config('[callers.networks]\n"10.0.0.0/8" = "One"\n')).imds) == "Base"
    assert role(serve(config(default="false")).imds) is None


def test_the_credentials_are_those_of_the_role(serve):
    daemon = serve(config('[callers.networks]\n"127.0.0.1" = "One"\n'))
    credentials = "/latest/meta-data/iam/security-credentials/"
    assert json.loads(daemon.imds.text(credentials + "One"))["Code"] == "Success"
    assert daemon.imds.get(credentials + "Base").status == 404
    assert "instance-profile/One" in daemon.imds.meta("iam/info")


@pytest.mark.parametrize("how", ["in place", "renamed", "linked"])
def test_a_mapping_file_is_read_again_when_it_changes(serve, tmp_path, how):
    mapping = tmp_path / "callers.map"
    first = tmp_path / "first"
    first.write_text("# nobody of note\n127.0.0.1 One\n")
    if how == "linked":
        mapping.symlink_to(first)
    else:
        first.rename(mapping)
    daemon = serve(config(f'mapping-file = "{mapping}"\n'))
    assert role(daemon.imds) == "One"

    second = tmp_path / "second"
    second.write_text('{"127.0.0.1": "Two"}')
    if how == "in place":
        mapping.write_bytes(second.read_bytes())
    elif how == "renamed":
        os.replace(second, mapping)
    else:
        (tmp_path / "link").symlink_to(second)
        os.replace(tmp_path / "link", mapping)
    until(lambda: role(daemon.imds) == "Two", "the new mapping is in force")


def test_a_mapping_that_is_wrong_changes_nothing_and_is_told(serve, binary, tmp_path):
    mapping = tmp_path / "callers.map"
    mapping.write_text("127.0.0.1 One\n")
    daemon = serve(config('mapping-file = "../callers.map"\n'))
    mapping.write_text("127.0.0.1 Two\n10.0.0.0/8 Missing\n")
    line = daemon.wait_for_log("callers.map:2: there is no role")
    assert "the old mapping stays in force" in line
    assert role(daemon.imds) == "One"

    def told() -> str | None:
        status = run(binary, "status", "--json", "--control", str(daemon.control))
        return json.loads(status.stdout)["mapping-file-error"]

    assert "callers.map:2: there is no role" in told()
    mapping.write_text("127.0.0.1 Two\n")
    until(lambda: role(daemon.imds) == "Two", "the mended mapping is in force")
    until(lambda: told() is None, "the error is gone")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('[callers.networks]\n"10.1.0.0/8" = "One"\n', "write 10.0.0.0/8"),
        ('[callers.networks]\n"10.0.0.0/8" = "Missing"\n', "there is no role"),
        ('[callers.networks]\n"10.0.0.0/8" = true\n', "true says nothing"),
        ('mapping-file = "absent"\n', "absent: No such file"),
        ('[callers.users]\nnobody-at-all = "One"\n', "there is no user"),
        ('[callers.users]\n"0" = "One"\nroot = "One"\n', "user 0 is there twice"),
        ("networs = 1\n", "the nearest known one is networks"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(binary, tmp_path, written, message):
    file = tmp_path / "config.toml"
    file.write_text(config(written))
    line = 1 + config(written).rstrip("\n").count("\n")
    result = run(binary, "check", str(file))
    assert result.returncode == 78
    assert message in result.stderr and f"config.toml:{line}: " in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1


def test_a_mapping_that_is_being_written_gives_nobody_the_default_role(serve, tmp_path):
    mapping = tmp_path / "callers.map"
    mapping.write_text("127.0.0.1 -\n127.0.0.3 One\n")
    daemon = serve(config(f'mapping-file = "{mapping}"\n'))
    assert role(daemon.imds) is None
    with open(mapping, "w", buffering=1) as writer:
        writer.write("127.0.0.3 Two\n")
        (tmp_path / "another").write_text("closed, in the same folder")
        writer.write("127.0.0.1 -\n127.0.0.2 One\n")
        assert role(daemon.imds) is None
    daemon.wait_for_log("mapping file read again")
    assert role(daemon.imds) is None
    mapping.write_text("")
    assert "the old mapping stays in force" in daemon.wait_for_log("callers.map: it is empty")
    assert role(daemon.imds) is None
    reload = run(daemon.binary, "reload", "--control", str(daemon.control))
    assert reload.returncode == 2 and "it is empty" in reload.stderr, reload
    mapping.write_text("# nobody\n")
    until(lambda: role(daemon.imds) == "Base", "the file without entries is in force")
    until(lambda: daemon.log.count("mapping file read again") == 2, "it was read twice")


def test_a_mapping_that_comes_after_the_start_is_waited_for(serve, binary, tmp_path):
    mapping = tmp_path / "callers.map"
    daemon = serve(config(f'mapping-file = "{mapping}"\n[callers.networks]\n"127.0.0.3" = "One"\n'))
    assert "only callers in [callers.networks] have a role" in daemon.wait_for_log("callers.map: No such file")

    def told() -> str | None:
        status = run(binary, "status", "--json", "--control", str(daemon.control))
        return json.loads(status.stdout)["mapping-file-error"]

    assert role(daemon.imds) is None and "No such file" in told()
    assert run(binary, "reload", "--control", str(daemon.control)).returncode == 0
    assert role(daemon.imds) is None and "No such file" in told()
    mapping.write_text("127.0.0.3 Two\n")
    until(lambda: role(daemon.imds) == "Base", "the default role is given once it is known who else has one")
    assert told() is None
    mapping.unlink()
    daemon.wait_for_log("callers.map: No such file or directory (os error 2); the old mapping stays in force")
    assert role(daemon.imds) == "Base"
