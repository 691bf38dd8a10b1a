"""A box: a clean Debian system that boots for one test, without a container engine.

Its init (systemd, SysV init, or none) is PID 1 of namespaces of its own: network, mount, process, host name,
IPC and cgroup. The root is an overlay over a system that `roots` made, so that a boot takes about a second and
a test leaves the system as it was. Everything in a box dies with the process that started it, even if that
one is killed; what a killed one leaves on disk (its folder, empty cgroups) the next start removes.

By hand: `tests/rig/box.py NAME [PACKAGE...]` boots a system, installs the packages and gives a shell.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "TERM": "dumb",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
# Bytes that every system unpacked and some boxes take at the most.
ROOM = 3 * 1024**3
INIT = ["/sbin/init"]
# A system without an init, as in an image build: PID 1 only waits, and buries the dead.
NO_INIT = ["/bin/sh", "-c", "while :; do sleep 3600 & wait; done"]


class BoxError(Exception):
    """A command in a box failed, or the box did not come up; the text holds all it printed."""


def until(condition, what: str, seconds: float = 20.0):
    """Waits for `condition()` to give something true and returns it; BoxError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise BoxError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def _cgroup_roots() -> list[Path]:
    """Where boxes get cgroups: the unified hierarchy, and systemd's own where the machine still has it."""
    roots = []
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            roots.append(Path(where))
    return roots


def _roomy_folder() -> Path:
    """Where systems are unpacked: in memory where there is enough, several times as fast."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    return memory if roomy else Path(tempfile.gettempdir())


def _remove_cgroups(top: Path):
    for folder, _, _ in os.walk(top, topdown=False):
        os.rmdir(folder)


class Systems:
    """The folder of one test run: systems unpacked from their tarballs, and the boxes over them."""

    def __init__(self):
        base = _roomy_folder()
        for left in base.glob("fm-boxes-*"):
            self._sweep(left)
        self.folder = Path(tempfile.mkdtemp(prefix=f"fm-boxes-{os.getpid()}-", dir=base))
        self.count = 0

    @staticmethod
    def _sweep(folder: Path):
        """Removes what a run that was killed has left."""
        owner = folder.name.split("-")[2]
        if Path("/proc", owner).exists():
            return
        for root in _cgroup_roots():
            for top in root.glob(f"fm-box-{owner}-*"):
                _remove_cgroups(top)
        shutil.rmtree(folder)

    def root(self, name: str) -> Path:
        """The unpacked system `name`, made and fetched when it is not there yet."""
        unpacked = self.folder / "systems" / name
        if not unpacked.exists():
            made = subprocess.run([HERE / "roots", name], stdout=subprocess.PIPE, text=True)
            if made.returncode:
                raise BoxError(f"make system {name}: roots ended with {made.returncode}")
            part = unpacked.with_suffix(".part")
            part.mkdir(parents=True)
            subprocess.run(["tar", "-C", part, "-xf", made.stdout.strip()], check=True)
            part.rename(unpacked)
        return unpacked

    def box(self, name: str) -> Box:
        """A box over the system `name`, not booted yet."""
        return self._over(self.root(name), name)

    def of_this_machine(self) -> Box:
        """A box over this machine's own disk, with all that is installed here; what it writes stays in the box."""
        return self._over(Path("/"), "this-machine")

    def _over(self, lower: Path, name: str) -> Box:
        self.count += 1
        folder = self.folder / f"{self.count}-{name}"
        for part in ("upper", "work", "merged"):
            (folder / part).mkdir(parents=True)
        return Box(name, folder, lower, f"fm-box-{os.getpid()}-{self.count}")

    def remove(self):
        shutil.rmtree(self.folder)


@dataclass
class Box:
    """One system. `up`, then `run`, `reboot` and so on, and `down` at the end (or use it in `with`)."""

    name: str
    folder: Path
    lower: Path
    cgroup: str
    process: subprocess.Popen | None = None
    leader: int = 0
    init: list[str] = field(default_factory=lambda: INIT)

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_):
        self.down()

    def up(self, init: list[str] = INIT):
        """Boots the box in fresh namespaces; returns when PID 1 has been executed."""
        self.init = init
        console = self.folder / "console"
        console.touch()
        groups = [root / self.cgroup for root in _cgroup_roots()]
        for group in groups:
            group.mkdir(exist_ok=True)

        def join():
            for group in groups:
                (group / "cgroup.procs").write_text("0")

        overlay = f"lowerdir={self.lower},upperdir={self.folder}/upper,workdir={self.folder}/work"
        merged = self.folder / "merged"
        script = 'mount -t overlay -o "$1" overlay "$2" && shift && exec "$0" "$@"'
        isolate = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--propagation", "private"]
        ready, told = os.pipe()
        with console.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *isolate, "--fork", "--kill-child", "--"]
                + ["bash", "-c", f'exec 3>&{told} {told}>&-; {script}', HERE / "boot.sh", overlay, merged, console, *init],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[told], preexec_fn=join,
            )
        os.close(told)
        with os.fdopen(ready) as line:
            if line.readline() != "up\n":
                raise BoxError(f"boot {self.name}: {self.console()}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.leader = int(children.read_text().split()[0])

    def reboot(self, init: list[str] | None = None):
        """Kills every process at once and boots the same root again: a power cut, and a fresh network."""
        self._kill()
        self.up(init or self.init)

    def down(self):
        """Ends the box and removes what it took."""
        self._kill()
        shutil.rmtree(self.folder)

    def _kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        for root in _cgroup_roots():
            group = root / self.cgroup
            # The last processes of a dying PID namespace leave their cgroup a moment after it.
            until(lambda: not _populated(group), f"end {self.name}")
            if group.exists():
                _remove_cgroups(group)

    def command(self, *argv: str, env: dict[str, str] | None = None) -> list:
        """The command line that runs `argv` in the box."""
        pairs = [f"{k}={v}" for k, v in (ENVIRONMENT | (env or {})).items()]
        enter = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        return [*enter, "env", "-i", *pairs, *argv]

    def run(self, *argv: str, check: bool = True, env: dict[str, str] | None = None, input: str | None = None):
        """Runs `argv` in the box; its output, both streams as one, is in `.stdout`. Raises on failure."""
        done = subprocess.run(
            self.command(*argv, env=env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            input=input if input is not None else "", timeout=120,
        )
        if check and done.returncode:
            raise BoxError(f"{self.name}: {' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")
        return done

    def sh(self, script: str, check: bool = True, env: dict[str, str] | None = None) -> str:
        """Runs a shell script in the box and returns what it printed, without the last newline."""
        return self.run("sh", "-euc", script, check=check, env=env).stdout.rstrip("\n")

    def ok(self, *argv: str) -> bool:
        """Whether a command in the box succeeds."""
        return self.run(*argv, check=False).returncode == 0

    def path(self, inside: str) -> Path:
        """A file of the box, seen from outside. Symbolic links in it would lead outside: do not follow them."""
        return Path(f"/proc/{self.leader}/root") / inside.lstrip("/")

    def read(self, inside: str) -> str:
        return self.path(inside).read_text()

    def write(self, inside: str, text: str):
        self.path(inside).write_text(text)

    def console(self) -> str:
        return (self.folder / "console").read_text(errors="replace")

    def listing(self) -> dict[str, tuple]:
        """Every file on the box's disk: path -> kind, mode, owner, group, and checksum or link target."""
        top = Path(f"/proc/{self.leader}/root")
        device = top.stat().st_dev
        found = {}
        stack = [(f"{top}/", "/")]
        while stack:
            outside, inside = stack.pop()
            for entry in os.scandir(outside):
                path = inside + entry.name
                info = entry.stat(follow_symlinks=False)
                # The overlay shows files of its layers under its own device only for folders.
                if stat.S_ISDIR(info.st_mode):
                    found[path] = ("folder", oct(info.st_mode & 0o7777), info.st_uid, info.st_gid, "")
                    if info.st_dev == device:
                        stack.append((entry.path, path + "/"))
                    continue
                kind, content = "other", ""
                if stat.S_ISREG(info.st_mode):
                    kind = "file"
                    with open(entry.path, "rb") as data:
                        content = hashlib.file_digest(data, "sha256").hexdigest()
                elif stat.S_ISLNK(info.st_mode):
                    kind, content = "link", os.readlink(entry.path)
                found[path] = (kind, oct(info.st_mode & 0o7777), info.st_uid, info.st_gid, content)
        return found


def _populated(group: Path) -> bool:
    for folder, _, files in os.walk(group):
        if "cgroup.procs" in files and Path(folder, "cgroup.procs").read_text().strip():
            return True
    return False


def main(argv: list[str]) -> int:
    if not argv:
        print("usage: box.py NAME [PACKAGE...]", file=sys.stderr)
        return 2
    systems = Systems()
    try:
        with systems.box(argv[0]) as box:
            box.up(NO_INIT if argv[0].endswith("-bare") else INIT)
            for package in argv[1:]:
                shutil.copy(package, box.path("/root/"))
                box.run("apt-get", "install", "-y", f"/root/{Path(package).name}")
            return subprocess.call(box.command("bash", "-i", env={"TERM": os.environ.get("TERM", "dumb")}))
    finally:
        systems.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
