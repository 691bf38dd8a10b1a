"""What outlives the daemon, where it is kept, and who may read it."""

import json
import os
import pwd
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from support.daemon import clean_environment, run

LEAF = "/latest/meta-data/instance-id"
IDENTITY = "/latest/dynamic/instance-identity/"


def modes(folder) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_a_token_is_good_after_a_restart(serve):
    daemon = serve('tokens = "required"\n')
    token = daemon.imds.token()
    daemon.restart()
    assert daemon.imds.get(LEAF, token).status == 200


def test_an_expired_token_stays_expired_after_a_restart(serve):
    daemon = serve('tokens = "required"\n')
    token = daemon.imds.token(0)
    daemon.restart()
    assert daemon.imds.get(LEAF, token).status == 401


def test_the_signatures_can_still_be_verified_after_a_restart(serve, binary):
    daemon = serve()
    before = run(binary, "identity", "certificate", "--state-dir", str(daemon.state)).stdout
    daemon.restart()
    daemon.imds.text(IDENTITY + "rsa2048")
    assert run(binary, "identity", "certificate", "--state-dir", str(daemon.state)).stdout == before


def test_the_instance_keeps_its_id_over_a_restart(serve):
    daemon = serve()
    before = daemon.imds.meta("instance-id")
    daemon.restart()
    assert daemon.imds.meta("instance-id") == before


def test_only_the_owner_reads_the_keys(serve):
    daemon = serve()
    daemon.imds.text(IDENTITY + "rsa2048")
    found = modes(daemon.state)
    assert found and set(found.values()) == {0o600}, found
    assert stat.S_IMODE(daemon.state.stat().st_mode) == 0o700


def test_a_state_folder_is_made_with_its_parents(serve, tmp_path):
    daemon = serve(state=tmp_path / "a" / "b" / "c")
    assert daemon.state.is_dir()


def test_a_state_folder_that_cannot_be_used_costs_a_warning_and_not_the_service(serve, tmp_path):
    (tmp_path / "file").write_text("")
    daemon = serve(state=tmp_path / "file" / "state")
    assert daemon.imds.get(LEAF, daemon.imds.token()).status == 200
    assert "--state-dir" in daemon.wait_for_log("WARN")


def test_a_damaged_key_is_not_overwritten(serve):
    daemon = serve()
    assert daemon.stop() == 0
    key = daemon.state / "token.key"
    key.write_bytes(b"short")
    daemon.start()
    assert daemon.imds.get(LEAF, daemon.imds.token()).status == 200
    assert key.read_bytes() == b"short"
    assert str(key) in daemon.wait_for_log("WARN")


def test_the_environment_names_the_folders(serve, tmp_path, short_folder):
    state, control = tmp_path / "S", short_folder / "C" / "control.sock"
    daemon = serve(own_folders=False, env={"FAKE_METADATA_STATE_DIR": str(state), "FAKE_METADATA_CONTROL": str(control)})
    daemon.imds.token()
    assert (state / "token.key").exists()
    assert control.is_socket()


def test_flags_come_before_the_environment(serve, tmp_path):
    daemon = serve(env={"FAKE_METADATA_STATE_DIR": str(tmp_path / "S"), "FAKE_METADATA_CONTROL": str(tmp_path / "C")})
    daemon.imds.token()
    assert (daemon.state / "token.key").exists()
    assert daemon.control.is_socket()
    assert not (tmp_path / "S").exists() and not (tmp_path / "C").exists()


@pytest.fixture
def short_folder():
    """For the path of a socket, which has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="fm-"))
    yield folder
    shutil.rmtree(folder)


class Nobody:
    """A user without rights, with a home of its own."""

    user = pwd.getpwnam("nobody")
    prefix = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")

    def __init__(self):
        # A short path, because a socket's has at most 107 bytes, and one that this user can enter.
        self.home = Path(tempfile.mkdtemp(prefix="fm-"))
        os.chown(self.home, self.user.pw_uid, self.user.pw_gid)


@pytest.fixture
def nobody():
    nobody = Nobody()
    yield nobody
    shutil.rmtree(nobody.home)


@pytest.fixture
def serve_as_nobody(serve, nobody):
    def start(**env: str):
        # What is made where nothing else is named goes with the home.
        env = {"TMPDIR": str(nobody.home), **env}
        return serve(folder=nobody.home, own_folders=False, prefix=nobody.prefix, env=env)

    return start


def test_without_root_state_goes_to_the_xdg_state_folder_and_survives(serve_as_nobody, nobody):
    daemon = serve_as_nobody(XDG_STATE_HOME=str(nobody.home / "xdg-state"))
    token = daemon.imds.token()
    assert modes(nobody.home / "xdg-state" / "fake-metadata")["token.key"] == 0o600
    daemon.restart()
    assert daemon.imds.get(LEAF, token).status == 200


def test_without_root_or_xdg_variables_state_goes_below_home(serve_as_nobody, nobody):
    serve_as_nobody()
    assert (nobody.home / ".local" / "state" / "fake-metadata" / "token.key").exists()


def test_without_root_the_control_socket_goes_to_the_xdg_runtime_folder(serve_as_nobody, nobody):
    runtime = nobody.home / "run"
    runtime.mkdir(mode=0o700)
    os.chown(runtime, nobody.user.pw_uid, nobody.user.pw_gid)
    serve_as_nobody(XDG_RUNTIME_DIR=str(runtime))
    assert (runtime / "fake-metadata" / "control.sock").is_socket()


def test_without_root_and_a_runtime_folder_the_control_socket_has_a_folder_that_goes_with_it(serve_as_nobody, nobody):
    daemon = serve_as_nobody()
    folder = nobody.home / f"fake-metadata-{nobody.user.pw_uid}"
    assert (folder / "control.sock").is_socket() and folder.stat().st_mode & 0o777 == 0o700
    assert daemon.stop() == 0
    assert not folder.exists()


def test_a_folder_that_somebody_else_made_among_the_short_lived_files_is_not_trusted(serve_as_nobody, nobody, binary):
    """Everybody may make one there by that name, and would be handed credentials."""
    folder = nobody.home / f"fake-metadata-{nobody.user.pw_uid}"
    folder.mkdir(mode=0o755)
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(str(folder / "control.sock"))
        (folder / "control.sock").chmod(0o777)
        trap.listen()
        trap.setblocking(False)
        env = {"HOME": str(nobody.home), "TMPDIR": str(nobody.home)}
        keys = json.dumps({"AccessKeyId": "ASIA0123456789ABCDEF", "SecretAccessKey": "s", "Token": "t",
                           "Expiration": "2999-01-01T00:00:00Z"})
        for command in (["status"], ["role", "feed", "App", "--file", "-"]):
            # Named, since this machine may have a daemon of the system's, which would be asked in its place.
            chosen = ("--control", str(folder / "control.sock"))
            said = run(*nobody.prefix, str(binary), *command, *chosen, env=env, input=keys)
            assert said.returncode == 1, said
            assert f"{folder} is not this user's alone" in said.stderr and said.stderr.count("\n") == 1
        daemon = serve_as_nobody()
        assert "is not this user's alone" in daemon.wait_for_log("commands cannot reach this daemon")
        with pytest.raises(BlockingIOError):
            trap.accept()
    no_home = {"TMPDIR": str(nobody.home), "HOME": ""}
    said = run(*nobody.prefix, str(binary), "identity", "certificate", env=no_home)
    assert said.returncode == 1 and "(name another with --state-dir" in said.stderr, said


def test_without_root_commands_find_the_same_identity(serve_as_nobody, nobody, binary):
    daemon = serve_as_nobody()
    daemon.imds.text(IDENTITY + "rsa2048")
    as_nobody = (*nobody.prefix, str(binary), "identity", "certificate")
    certificate = run(*as_nobody, env={"HOME": str(nobody.home)})
    direct = run(binary, "identity", "certificate", "--state-dir", str(nobody.home / ".local/state/fake-metadata"))
    assert certificate.stdout == direct.stdout != ""


def test_the_clean_environment_of_these_tests_names_no_folder():
    assert not [name for name in clean_environment("/") if name.startswith(("XDG_", "FAKE_METADATA_"))]
