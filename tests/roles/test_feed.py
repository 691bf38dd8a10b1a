"""`fake-metadata role feed NAME --profile P`: run by a person of the daemon's group, with what only they have."""

import fcntl
import json
import os
import re
import subprocess
import termios
from pathlib import Path

import pytest

from conftest import CHECKOUT
from support.daemon import clean_environment, run
from support.roles import Aws, credentials, identity, served, shown
from support.wait import until

ARN = "arn:aws:iam::111122223333:role/App"
SESSION = "arn:aws:sts::111122223333:assumed-role/App/i-1234567890abcdef0"
# The daemon's group, and the user nobody, who is nobody's member but of this.
GROUP = 64123
NOBODY = 65534
CONFIG = '[roles.App]\nsource = "fed"\n'


class Person:
    """A user with a home and AWS files of their own, and perhaps in the daemon's group."""

    def __init__(self, folder: Path, binary: Path, sts):
        self.home = folder / "home"
        (self.home / ".aws").mkdir(parents=True)
        self.binary, self.sts = binary, sts
        self.write(
            config=f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\nendpoint_url = {sts.url}\n"
            f"[default]\nendpoint_url = {sts.url}\n",
            credentials=f"[default]\naws_access_key_id = {Aws.KEY}\naws_secret_access_key = {Aws.SECRET}\n",
        )

    def write(self, **files: str):
        for name, text in files.items():
            (self.home / ".aws" / name).write_text(text)
        for path in [self.home, *self.home.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
            path.chmod(0o700 if path.is_dir() else 0o600)

    def feed(self, daemon, *args: str, groups: str = str(GROUP), env=None, **more) -> subprocess.Popen:
        """Starts `role feed`."""
        return subprocess.Popen(
            ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), f"--groups={groups}", "--pdeathsig", "KILL"]
            + ["--", str(self.binary), "role", "feed", "App", *args],
            env={**clean_environment(self.home, FAKE_METADATA_CONTROL=str(daemon.control)), **(env or {})},
            cwd="/",
            stdin=more.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )


@pytest.fixture
def person(shared_folder, tmp_path, binary, sts):
    folder = shared_folder / tmp_path.name
    folder.mkdir(mode=0o755)
    return Person(folder, binary, sts)


@pytest.fixture
def daemon(serve):
    """A daemon that runs with a group of its own, as the package's does, and has no AWS files."""
    prefix = ("setpriv", "--regid", str(GROUP), "--clear-groups", "--")
    daemon = serve(CONFIG, started=False, prefix=prefix, args=("--log-level", "trace"))
    os.chown(daemon.short_folder, 0, GROUP)
    daemon.short_folder.chmod(0o750)
    return daemon.start()


@pytest.fixture
def feeding(person, daemon):
    """Starts feeds that run on; all end with the test."""
    running = []

    def start(*args: str, **more):
        running.append(person.feed(daemon, *args, **more))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def once(person, daemon, *args, **more) -> subprocess.CompletedProcess:
    """A feed that is to end by itself."""
    typed = more.pop("input", None)
    if typed is not None:
        more["stdin"] = subprocess.PIPE
    process = person.feed(daemon, *args, **more)
    out, err = process.communicate(typed, timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_the_persons_profile_is_served(person, daemon, moto, sts):
    result = once(person, daemon, "--profile", "dev", "--once")
    assert (result.returncode, result.stderr) == (0, ""), result
    assert re.fullmatch(r"App: good for (59|60) min\n", result.stdout)
    assert identity(daemon, moto) == SESSION
    assert sts.last("AssumeRole")["KeyId"] == Aws.KEY
    status = shown(daemon)
    assert (status["fed"], status["source"]) == (True, "fed")


def test_long_lived_keys_are_exchanged_before_they_are_handed_over(person, daemon, sts):
    assert once(person, daemon, "--once").returncode == 0
    assert sts.actions() == ["GetSessionToken"]
    document = served(daemon)
    assert document["Token"] and document["SecretAccessKey"] != Aws.SECRET


def test_the_profile_is_that_of_the_environment_unless_it_is_named(person, daemon, moto):
    assert once(person, daemon, "--once", env={"AWS_PROFILE": "dev"}).returncode == 0
    assert identity(daemon, moto) == SESSION


def test_keys_of_the_environment_may_assume_the_role(person, daemon, moto, sts):
    person.write(config=f"[profile env]\nrole_arn = {ARN}\ncredential_source = Environment\nendpoint_url = {sts.url}\n")
    env = {"AWS_ACCESS_KEY_ID": "AKIAOFTHESHELL000001", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    assert once(person, daemon, "--profile", "env", "--once", env=env).returncode == 0
    assert sts.last("AssumeRole")["KeyId"] == "AKIAOFTHESHELL000001"
    assert identity(daemon, moto) == SESSION


def test_keys_of_the_environment_go_before_a_profile_that_nobody_named(person, daemon, sts):
    env = {"AWS_ACCESS_KEY_ID": "AKIAOFTHESHELL000001", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    assert once(person, daemon, "--once", env=env).returncode == 0
    assert sts.last("GetSessionToken")["KeyId"] == "AKIAOFTHESHELL000001"


def test_an_mfa_code_is_asked_for_and_passed_on(person, daemon, moto, sts):
    serial = "arn:aws:iam::111122223333:mfa/ann"
    person.write(
        config=f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\nmfa_serial = {serial}\n"
        f"endpoint_url = {sts.url}\n"
    )
    result = once(person, daemon, "--profile", "dev", "--once", input="123456\n")
    assert result.returncode == 0, result
    assert serial in result.stderr
    call = sts.last("AssumeRole")
    assert (call["SerialNumber"], call["TokenCode"]) == (serial, "123456")
    assert identity(daemon, moto) == SESSION
    assert once(person, daemon, "--profile", "dev", "--once").returncode == 1


def test_a_credential_process_may_ask_on_the_terminal(person, daemon):
    helper = person.home / "ask"
    document = json.dumps(credentials("ASKED", form="process")).replace("tokenof", "${code}")
    helper.write_text(f'printf "code: " >&2; read code </dev/tty; read more; test "$more" = yes || exit 1\ncat <<END\n{document}\nEND\n')
    person.write(config=f"[profile dev]\ncredential_process = /bin/sh {helper}\n")
    terminal, line = os.openpty()
    os.write(terminal, b"typed\nyes\n")
    process = person.feed(
        daemon,
        "--profile",
        "dev",
        "--once",
        stdin=line,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(line, termios.TIOCSCTTY, 0),
    )
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        os.close(line)
        os.close(terminal)
    assert (process.returncode, err) == (0, "code: "), (out, err)
    assert served(daemon)["Token"].startswith("typedASKED")


def test_an_sso_login_of_the_person_is_used(person, daemon, standin_sso, moto):
    person.write(config=standin_sso.profile())
    refused = once(person, daemon, "--profile", "sso", "--once")
    assert refused.returncode == 1
    assert "aws sso login --profile sso" in refused.stderr
    standin_sso.log_in(person.home)
    person.write()
    assert once(person, daemon, "--profile", "sso", "--once").returncode == 0
    assert "AWSReservedSSO_Developer" in identity(daemon, moto)


@pytest.mark.parametrize("mfa", [False, True], ids=["", "mfa"])
def test_a_daemon_that_was_started_again_is_fed_the_same_again(person, daemon, feeding, moto, sts, mfa):
    if mfa:
        person.write(
            config=f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\nendpoint_url = {sts.url}\n"
            "mfa_serial = arn:aws:iam::111122223333:mfa/ann\n"
        )
    typed, keyboard = os.pipe()
    os.write(keyboard, b"123456\n")
    feeding("--profile", "dev", stdin=typed)
    os.close(typed)
    os.close(keyboard)
    until(lambda: shown(daemon)["serving"], "the first feed")
    first = served(daemon)
    daemon.restart()
    assert served(daemon)["Code"] != "Success"
    until(lambda: shown(daemon)["serving"], "the next feed", within=30)
    assert [served(daemon)[key] for key in ("AccessKeyId", "Expiration")] == [first["AccessKeyId"], first["Expiration"]]
    assert identity(daemon, moto) == SESSION
    assert sts.actions() == ["AssumeRole"], "nobody was asked again"


def test_what_is_fed_is_renewed_before_it_ends(daemon, feeding, sts):
    sts.lifetime = 14.0
    feeding("--profile", "dev")
    first = until(lambda: shown(daemon)["serving"] and served(daemon)["AccessKeyId"], "the first feed")
    # Never without credentials while it runs, until there are others.
    until(lambda: good(daemon) != first, "others", within=30)


def good(daemon) -> str:
    document = served(daemon)
    assert document["Code"] == "Success"
    return document["AccessKeyId"]


def test_a_feed_lives_through_an_sts_that_fails_and_a_daemon_that_is_away(daemon, feeding, sts):
    # Too little for them to be given again.
    sts.lifetime = 900.0
    process = feeding("--profile", "dev")
    until(lambda: shown(daemon)["serving"], "the first feed")
    assert daemon.stop() == 0
    sts.status = 500
    daemon.start()
    until(lambda: len(sts.calls) > 1, "it tries again", within=30)
    assert process.poll() is None
    assert served(daemon)["Code"] != "Success"


def test_who_is_not_in_the_daemons_group_is_told_so(person, daemon):
    result = once(person, daemon, "--profile", "dev", "--once", groups=str(NOBODY))
    assert result.returncode == 1
    assert str(daemon.control) in result.stderr and "ermission denied" in result.stderr
    assert "group" in result.stderr


def test_a_role_that_is_not_there_is_refused_before_anybody_is_asked(person, daemon, sts):
    process = person.feed(daemon, "--profile", "dev", "--once")
    process.communicate(timeout=60)
    calls = len(sts.calls)
    result = run(person.binary, "role", "feed", "Nobody", "--control", str(daemon.control), "--profile", "dev")
    assert result.returncode == 2 and "Nobody" in result.stderr
    assert len(sts.calls) == calls


@pytest.mark.parametrize(
    ("config", "told"),
    [("", "dev"), (f"[profile dev]\nrole_arn = {ARN}\nsource_profile = nobody\n", "nobody")],
    ids=["no profile", "no source profile"],
)
def test_a_profile_that_cannot_be_resolved_is_one_clear_line(person, daemon, config, told):
    person.write(config=config)
    result = once(person, daemon, "--profile", "dev")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1 and told in result.stderr
    assert shown(daemon)["serving"] is False


def test_nothing_secret_is_printed_logged_or_written(person, daemon, sts):
    before = {path: path.read_bytes() for path in person.home.rglob("*") if path.is_file()}
    result = once(person, daemon, "--profile", "dev", "--once")
    secrets = sts.secrets() | {Aws.SECRET}
    assert len(secrets) == 3
    for text in (result.stdout, result.stderr, daemon.log):
        assert not [secret for secret in secrets if secret in text]
    assert {path: path.read_bytes() for path in person.home.rglob("*") if path.is_file()} == before
    written = [path for path in Path(daemon.folder).rglob("*") if path.is_file()]
    assert written and not [path for path in written for secret in secrets if secret.encode() in path.read_bytes()]


def test_the_example_unit_starts_what_there_is(person, daemon, moto):
    unit = (CHECKOUT / "packaging" / "systemd-user" / "fake-metadata-role@.service").read_text()
    line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1].replace("%i", "App").replace("${PROFILE}", "dev")
    program, *arguments = line.split()
    assert program == "/usr/bin/fake-metadata" and arguments[:3] == ["role", "feed", "App"]
    assert once(person, daemon, *arguments[3:], "--once").returncode == 0
    assert identity(daemon, moto) == SESSION
