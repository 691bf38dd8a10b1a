"""Container engines from Debian, each in a root of its own: dockerd, and podman's API service.

An engine runs in a network namespace that plays the host, and in a process namespace, so that nothing of it outlives
the test. Images are made from a tarball: no registry is asked.
"""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .daemon import clean_environment
from .netns import METADATA_ADDRESS, Namespace
from .wait import until

IMAGE = "box"
LIST = f"http://{METADATA_ADDRESS}/latest/meta-data/iam/security-credentials/"
# What a container does: asks at once, says what it was given, and stays.
ASK = f"/bin/wget -q -O - {LIST} || echo none; echo; exec /bin/sleep 1000"
# Where Debian's programs may not raise limits, podman must not try to.
CONTAINERS_CONF = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'


def asks_engine(socket: Path) -> str:
    """The configuration of a daemon that asks the engine behind this socket, with one role, everybody's."""
    return f'''
listen = "0.0.0.0:8000"
[roles.App]
[callers]
default = "App"
docker = "{socket}"
'''


def image() -> bytes:
    """A root file system with nothing but busybox in it."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox is missing: install busybox-static"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "wget", "sleep", "cat"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return data.getvalue()


class Engine:
    """A container engine behind a socket, driven with the docker program."""

    def __init__(self, kind: str, host: Namespace):
        self.host = host
        # Unix sockets have short paths, and pytest's folders are long.
        self.folder = Path(tempfile.mkdtemp(prefix="engine-"))
        self.socket = self.folder / "api.sock"
        self.log = self.folder / "log"
        self.kind = kind
        self.process = None

    def start(self):
        folder = self.folder
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        if self.kind == "docker":
            command = f"""dockerd --data-root {folder}/data --exec-root {folder}/exec --pidfile {folder}/pid
                          --host unix://{self.socket} --bip 172.31.7.1/24"""
        else:
            command = f"""podman --root {folder}/data --runroot {folder}/run --tmpdir {folder}/tmp --events-backend file
                          --cgroup-manager cgroupfs --storage-driver vfs
                          system service --time 0 unix://{self.socket}"""
        # A folder of /run of its own: podman and its helpers keep locks and addresses there.
        script = f"mount -t tmpfs tmpfs /run && mkdir /run/lock && exec {' '.join(command.split())}"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                # Everything in here ends with the first process, whatever ends that.
                [*self.host.prefix, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
                + ["sh", "-c", script],
                env={**clean_environment(folder), "CONTAINERS_CONF": str(folder / "containers.conf")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._ready, f"{self.kind} answers on {self.socket}", 30)
        self.docker("import", "-", IMAGE, input=image(), text=False)
        return self

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.kind} ended with {self.process.returncode}:\n{self.log.read_text()}")
        return self.socket.exists() and self.docker("version", check=False).returncode == 0

    def stop(self):
        """Ends the engine; containers go with it."""
        if self.process is not None:
            names = self.docker("ps", "--all", "--quiet", check=False).stdout.split()
            if names:
                self.docker("rm", "--force", *names, check=False)
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def docker(self, *arguments: str, check: bool = True, text: bool = True, **more) -> subprocess.CompletedProcess:
        """Runs the docker program against this engine."""
        env = {**clean_environment(self.folder), "DOCKER_HOST": f"unix://{self.socket}"}
        result = subprocess.run(
            ["docker", *arguments], env=env, capture_output=True, text=text, timeout=60, **more
        )
        if check and result.returncode != 0:
            raise AssertionError(f"docker {arguments} ended with {result.returncode}\n{result.stderr}")
        return result

    def run(self, name: str, *options: str, command: str = ASK) -> "Container":
        """Starts a container. Its command asks for its role before anything else."""
        self.docker("run", "--detach", "--name", name, *options, IMAGE, "/bin/sh", "-c", command)
        return Container(self, name)


class Container:
    def __init__(self, engine: Engine, name: str):
        self.engine = engine
        self.name = name

    @property
    def first_answer(self) -> str:
        """What its first question, asked when its program began, was answered."""

        def said():
            return self.engine.docker("logs", self.name).stdout.strip()

        return until(said, f"container {self.name} says what it was given", 15)

    def ask(self, url: str = LIST) -> str | None:
        """What it is given now; None for an error."""
        result = self.engine.docker("exec", self.name, "/bin/wget", "-q", "-O", "-", url, check=False)
        return result.stdout.strip() if result.returncode == 0 else None

    def addresses(self) -> list[str]:
        networks = json.loads(self.engine.docker("inspect", self.name).stdout)[0]["NetworkSettings"]["Networks"]
        return sorted(network["IPAddress"] for network in (networks or {}).values())

    def remove(self):
        self.engine.docker("rm", "--force", self.name)
