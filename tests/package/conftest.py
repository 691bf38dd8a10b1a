"""Fixtures: the package built here, one built from an earlier commit, and clean systems to install them in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.register_assert_rewrite("package.system")

from package.system import LO_STANZA, System  # noqa: E402
from rig.box import Systems  # noqa: E402

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fake-metadata"

# The commit that the older package is built from: the first whose package runs under all three supervisors.
EARLIER = "0728a929a4d4042b6610f4f15e57ef9f81c740de"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or CHECKOUT / "target").resolve()


def build_deb(checkout: Path, *options: str, env: dict[str, str] | None = None) -> Path:
    """Runs a checkout's packaging/build-deb and returns the package it names."""
    built = subprocess.run(
        [checkout / "packaging/build-deb", *options], env=os.environ | (env or {}), stdout=subprocess.PIPE, text=True
    )
    assert built.returncode == 0, "packaging/build-deb failed"
    return checkout / built.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def deb(tmp_path_factory) -> Path:
    """The package of this checkout. TESTS_DEB names one that is built already."""
    given = os.environ.get("TESTS_DEB")
    # A copy: others are built where this one was.
    return Path(shutil.copy(given or build_deb(CHECKOUT), tmp_path_factory.mktemp("deb")))


@pytest.fixture(scope="session")
def built_elsewhere(deb, tmp_path_factory) -> Path:
    """The package built once more from the same files and commit in another folder, with another umask, time zone
    and locale. The crates of others are not built again."""
    folder = tmp_path_factory.mktemp("elsewhere")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=CHECKOUT, check=True, stdout=subprocess.PIPE
    ).stdout.decode().split("\0")
    for name in filter(None, files):
        if (CHECKOUT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    strange = {"SOURCE_DATE_EPOCH": epoch, "TZ": "Pacific/Chatham", "LC_ALL": "C", "CARGO_TARGET_DIR": str(TARGET)}
    before = os.umask(0o077)
    try:
        return build_deb(folder, env=strange)
    finally:
        os.umask(before)


@pytest.fixture(scope="session")
def older(tmp_path_factory) -> Path:
    """A package built from an earlier commit, with a lower version; kept between runs."""
    kept = CACHE / "older" / EARLIER
    if not kept.exists():
        checkout = tmp_path_factory.mktemp("older") / "checkout"
        git = ["git", "-C", str(CHECKOUT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(checkout), EARLIER], check=True)
        try:
            built = build_deb(checkout, "--deb-version", "0.0.1-1", env={"CARGO_TARGET_DIR": str(TARGET)})
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)
        part = kept.with_name(f"{EARLIER}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        shutil.copy(built, part)
        part.rename(kept)
    (package,) = kept.iterdir()
    return package


@pytest.fixture(scope="session")
def systems():
    assert os.geteuid() == 0, "to boot systems and to install packages needs root: run the tests as root"
    systems = Systems()
    yield systems
    systems.remove()


@pytest.fixture
def boot(systems):
    """Boots clean systems: `boot("deb12-sysv")`. All are gone when the test ends."""
    running: list[System] = []

    def start(name: str, *, lo_stanza: bool = False) -> System:
        system = System(systems.box(name))
        running.append(system)
        system.boot()
        if lo_stanza:
            system.box.path("/etc/network/interfaces").write_text(LO_STANZA)
        return system

    yield start
    for system in running:
        system.box.down()
