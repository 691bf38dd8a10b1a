"""`make install`, and `make deb` where zig cannot be had."""

import os
import subprocess
from pathlib import Path

import pytest

from package.system import URL

CARGO_STAND_IN = """#!/bin/sh
echo "cargo $*" >> "$CALLS"
case $1 in
  build)
    mkdir -p "$CARGO_TARGET_DIR/$TRIPLE/release"
    for program in fake-metadata fake-metadata-setup; do
      printf '#!/bin/sh\\necho page' > "$CARGO_TARGET_DIR/$TRIPLE/release/$program"
      chmod +x "$CARGO_TARGET_DIR/$TRIPLE/release/$program"
    done ;;
esac
"""
CARGO_DEB_STAND_IN = """#!/bin/sh
[ "$1" != --version ] || { echo 3.8.0; exit; }
echo "cargo-deb $*" >> "$CALLS"
echo fake-metadata.deb
"""


@pytest.fixture
def machine(systems, deb):
    """This machine, booted: what it takes to build is here, and the package has just been built."""
    box = systems.of_this_machine()
    # The services of this machine are not wanted, only an init for ours.
    box.up(["/sbin/init", "systemd.unit=basic.target"])
    # The box's own hides the machine's, and the checkout or what was built may be there.
    box.sh("until systemctl is-active -q basic.target; do sleep 0.1; done; umount /tmp")
    # Images of machines that tests run on have one, which starts no service.
    box.sh("rm -f /usr/sbin/policy-rc.d")
    yield box
    box.down()


def test_make_install_builds_installs_and_asks(machine, checkout):
    assert machine.path(str(checkout)).is_dir(), "the checkout is not on the file system of /"
    kept = ("HOME", "PATH", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR", "XDG_CACHE_HOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    # The second time the same version is there already.
    for _ in range(2):
        printed = machine.run("make", "-C", str(checkout), "install", env=environment).stdout
        assert f"curl {URL}\nami-id\n" in printed
        assert machine.sh(f"curl -sf {URL}instance-id").startswith("i-")


def stand_in(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_without_zig_the_machines_glibc_is_linked_against_with_stand_ins_for_cargo(checkout, tmp_path):
    """Building everything once more would take minutes; that the programs then run here is no question."""
    triple = next(
        line.split()[1]
        for line in subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines()
        if line.startswith("host:")
    )
    stand_in(tmp_path / "bin" / "cargo", CARGO_STAND_IN)
    stand_in(tmp_path / "tools" / "bin" / "cargo-deb", CARGO_DEB_STAND_IN)
    # A Python that makes no environments, as where python3-venv is missing.
    stand_in(tmp_path / "bin" / "python3", "#!/bin/sh\nexit 1\n")
    calls = tmp_path / "calls"
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "FAKE_METADATA_TOOLS": str(tmp_path / "tools"),
        "CARGO_TARGET_DIR": str(tmp_path / "target"),
        "CALLS": str(calls),
        "TRIPLE": triple,
    }
    built = subprocess.run([checkout / "packaging/build-deb"], env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines()[-1] == "fake-metadata.deb"
    assert "no zig here" in built.stderr and "will need this machine's glibc" in built.stderr
    cargo, cargo_deb = calls.read_text().splitlines()
    assert cargo.startswith("cargo build ") and f"--target {triple} " in cargo
    assert "--variant native" in cargo_deb
