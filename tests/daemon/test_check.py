"""A wrong configuration: the message names file, line, key and the nearest known key; the exit code is 78."""

import pytest

from support.daemon import run

# Text, the line of the mistake, and what the message must say beside the file and the line.
WRONG = {
    "unknown key": ('tokens = "optional"\ntoken = "required"\n', 2, ["token", "tokens"]),
    "unknown key with an underscore": ("\n\nhop_limit = 2\n", 3, ["hop_limit", "hop-limit"]),
    "unknown table": ("[instanc]\n", 1, ["instanc", "instance"]),
    "unknown key of the instance": ('[instance]\nregion = "us-east-1"\nregoin = "x"\n', 3, ["instance.regoin", "region"]),
    "unknown key of an interface": (
        '[[instance.interfaces]]\ndevice-number = 0\n\n[[instance.interfaces]]\nmak = "0e:00:00:00:00:01"\n',
        5,
        ["instance.interfaces[1].mak", "mac"],
    ),
    "unknown key of a volume": ('[[instance.volumes]]\ndevice-nam = "sdf"\n', 2, ["device-nam", "device-name"]),
    "unknown key of a role": ('[roles.One]\nsource = "generated"\nsuorce = "x"\n', 3, ["suorce", "source"]),
    "unknown key of the log": ('[log]\nlevle = "info"\n', 2, ["log.levle", "level"]),
    "unknown key of the callers": ("[callers]\ndefalut = false\n", 2, ["callers.defalut", "default"]),
    "value of the wrong kind": ("tokens = 5\n", 1, ["tokens"]),
    "unknown mode": ('endpoint = "enabled"\ntokens = "sometimes"\n', 2, ["tokens", "optional", "required"]),
    "hop limit out of range": ("hop-limit = 65\n", 1, ["hop-limit", "64"]),
    "hop limit of 0": ("hop-limit = 0\n", 1, ["hop-limit"]),
    "no address": ('listen = "somewhere"\n', 1, ["listen"]),
    "not TOML": ('tokens = "optional"\nendpoint = = 1\n', 2, ["TOML"]),
    "a key given twice": ('tokens = "optional"\ntokens = "required"\n', 2, ["tokens"]),
    "an address that is none": ('[instance]\nprivate-ipv4 = "10.0.0.256"\n', 2, ["private-ipv4"]),
    "a region that is none": ('[instance]\n\nregion = "Mars"\n', 3, ["instance.region"]),
    "an availability zone of another region": (
        '[instance]\nregion = "eu-west-1"\navailability-zone = "us-east-1a"\n',
        3,
        ["availability-zone", "eu-west-1"],
    ),
    "a time that is none": ('[instance]\npending-time = "yesterday"\n', 2, ["pending-time"]),
    "a MAC address that is none": ('[instance]\nmac = "0e:ff"\n', 2, ["instance.mac"]),
    "two interfaces with one MAC address": (
        '[[instance.interfaces]]\nmac = "0e:00:00:00:00:01"\n[[instance.interfaces]]\nmac = "0e:00:00:00:00:01"\n',
        4,
        ["mac"],
    ),
    "user data that is no base64": ('[instance]\nuser-data-base64 = "!!"\n', 2, ["user-data-base64"]),
    "a user data file that is not there": ('[instance]\nuser-data-file = "/nowhere"\n', 2, ["user-data-file", "/nowhere"]),
    "user data given twice": ('[instance]\nuser-data = "a"\nuser-data-base64 = "YQ=="\n', 2, ["user-data"]),
    "an unknown source": ('[roles.One]\nsource = "sky"\n', 2, ["source", "sky"]),
    "a file source without its file": ('\n[roles.One]\nsource = "file"\n', 2, ["roles.One.file"]),
    "a key that does not go with the source": (
        '[roles.One]\nsource = "profile"\nexternal-id = "abc"\n',
        3,
        ["roles.One.external-id", "assume-role"],
    ),
    "a role to assume that is not named": ('[roles.One]\nsource = "assume-role"\n', 1, ["roles.One.role-arn"]),
    "a role in an account that has no number": (
        '[roles.One]\nsource = "assume-role"\nrole-arn = "App@prod"\n',
        3,
        ["roles.One.role-arn", "prod", "aws.accounts"],
    ),
    "a session of five minutes": (
        '[roles.One]\nsource = "profile"\nduration = "5m"\n',
        3,
        ["roles.One.duration", "15 minutes"],
    ),
    "a process without its command": ('[roles.One]\nsource = "process"\n', 1, ["roles.One.command"]),
    "a template that cannot be": (
        '[callers.container-role]\nsource = "assume-role"\nsession-name = "a b"\n',
        3,
        ["callers.container-role.session-name"],
    ),
    "unknown key of aws": ('[aws]\nregoin = "eu-west-1"\n', 2, ["aws.regoin", "region"]),
    "an address of STS that is none": (
        '[aws]\nsts-endpoint = "localhost:5000"\n[roles.One]\nsource = "profile"\n',
        2,
        ["aws.sts-endpoint", "http"],
    ),
    "an account name with 11 digits": ('[aws.accounts]\nprod = "11112222333"\n', 2, ["aws.accounts.prod", "12 digits"]),
    "a default account that is no name": ('[aws]\ndefault-account = "prod"\n', 2, ["aws.default-account", "prod"]),
    "a default role that is not there": ('[callers]\ndefault = "Nobody"\n', 2, ["callers.default", "Nobody"]),
    "a tree value that is no text": ('[tree]\n"/latest/meta-data/x" = 5\n', 2, ["tree"]),
    "a log level that is none": ('[log]\nlevel = "loud"\n', 2, ["log.level"]),
    "an account of 11 digits": ('[instance]\naccount-id = "12345678901"\n', 2, ["account-id"]),
}


@pytest.mark.parametrize(("text", "line", "words"), WRONG.values(), ids=WRONG.keys())
def test_check_names_file_line_and_key(binary, tmp_path, text, line, words):
    file = tmp_path / "config.toml"
    file.write_text(text)
    result = run(binary, "check", str(file), cwd=tmp_path)
    assert result.returncode == 78, result
    assert f"{file}:{line}: " in result.stderr
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr.split(f"{file}:{line}: ")[1], result.stderr


@pytest.mark.parametrize("name", ["unknown key", "not TOML", "an availability zone of another region"])
def test_serve_refuses_to_start_with_it(binary, tmp_path, name):
    text, line, _ = WRONG[name]
    file = tmp_path / "config.toml"
    file.write_text(text)
    result = run(binary, "serve", "--config", str(file), "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "s"))
    assert result.returncode == 78
    assert f"{file}:{line}: " in result.stderr
    assert "listening" not in result.stdout


def test_a_file_that_is_not_there_is_said(binary, tmp_path):
    result = run(binary, "check", str(tmp_path / "none.toml"))
    assert result.returncode == 78
    assert "none.toml" in result.stderr


GOOD = """
listen = ["127.0.0.1:8000", "169.254.169.254:8000"]
tokens = "required"
endpoint = "enabled"
hop-limit = 2
hosts = ["imds.test"]

[instance]
region = "ap-southeast-2"
availability-zone = "ap-southeast-2b"

[instance.tags]
Name = "x"

[[instance.interfaces]]
device-number = 0

[tree]
"/latest/meta-data/extra" = "value"
"/latest/meta-data/system" = false

[roles.One]
source = "generated"

[network]
whatever = "belongs to fake-metadata-setup"

[log]
level = "debug"
"""


def test_a_good_file_is_said_to_be_good(binary, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(GOOD)
    result = run(binary, "check", str(file))
    assert (result.returncode, result.stderr) == (0, "")
    assert str(file) in result.stdout


def test_an_empty_file_is_good(binary, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("")
    assert run(binary, "check", str(file)).returncode == 0


def test_a_wrong_environment_variable_is_named(binary, tmp_path):
    result = run(
        *(binary, "serve", "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "s")),
        env={"FAKE_METADATA_TOKENS": "sometimes"},
    )
    assert result.returncode == 78
    assert "FAKE_METADATA_TOKENS" in result.stderr


def test_an_unknown_environment_variable_is_named_with_the_nearest_key(binary, tmp_path):
    result = run(
        *(binary, "serve", "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "s")),
        env={"FAKE_METADATA_INSTANCE__REGOIN": "eu-west-1"},
    )
    assert result.returncode == 78
    assert "FAKE_METADATA_INSTANCE__REGOIN" in result.stderr and "region" in result.stderr


@pytest.mark.parametrize(
    "argv",
    [["serve", "--listen", "nowhere"], ["serve", "--no-such-flag"], ["fly"], [], ["run"], ["check"], ["serve", "--tokens", "maybe"]],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(binary, argv):
    result = run(binary, *argv)
    assert result.returncode == 2
    assert result.stderr


COMMANDS = ["", "serve", "run", "check", "get", "tree", "record", "import aemm", "identity",
            "identity certificate", "role", "role use", "role feed", "role login"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(binary, command):
    result = run(binary, *command.split(), "--help")
    assert result.returncode == 0
    assert "Usage: fake-metadata" in result.stdout
    assert len(result.stdout.splitlines()) >= 5
