"""The daemon as a process: started on a free port, watched, and always ended."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .wait import until
from .wire import Imds

LISTENING = re.compile(r"listening on http://(\[[^\]]+\]|[^:]+):(\d+)\s*$")
START_WITHIN = 15.0
STOP_WITHIN = 15.0


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """An environment with nothing of the developer's in it: no AWS_*, no FAKE_METADATA_*, no XDG_*."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **more}


class Daemon:
    """`fake-metadata serve` on free ports, with its standard output and its log (standard error) kept in files."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        config: str | None = None,
        listen: tuple[str, ...] = ("127.0.0.1:0",),
        args: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        state: Path | None = None,
        control: Path | None = None,
        prefix: tuple[str, ...] = (),
        own_folders: bool = True,
    ):
        """`prefix` runs the daemon through another program (nsenter, setpriv, prlimit) that must exec it.
        `own_folders=False` leaves the state and control folders to the daemon's own choice."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.binary = binary
        self.config = folder / "config.toml" if config is not None else None
        self.state = state or folder / "state"
        # The path of a socket has at most 107 bytes, which pytest's folders alone can have.
        self.short_folder = Path(tempfile.mkdtemp(prefix="fm-"))
        self.control = control or self.short_folder / "control.sock"
        self.stdout_path = folder / "stdout"
        self.log_path = folder / "stderr"
        self.env = {**clean_environment(folder), **(env or {})}
        self.listen = listen
        if self.config:
            self.config.write_text(config)
        argv = [str(binary), "serve"]
        argv += ["--config", str(self.config)] if self.config else []
        for address in listen:
            argv += ["--listen", address]
        if own_folders:
            argv += ["--state-dir", str(self.state), "--control", str(self.control)]
        # The signal on the death of the test run's thread is what cleans up after a killed run.
        self.argv = [*prefix, "setpriv", "--pdeathsig", "KILL", "--", *argv, *args]
        self.process: subprocess.Popen | None = None
        self.addresses: list[tuple[str, int]] = []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def spawn(self):
        """Starts the process without waiting for it to serve."""
        self.addresses = []
        self.started = time.monotonic()
        with open(self.stdout_path, "ab") as out, open(self.log_path, "ab") as err:
            self.offset = out.tell()
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env, cwd=self.folder
            )
        return self

    def start(self):
        """Starts the process and waits until it says where it listens."""
        self.spawn()
        until(self._ready, f"{' '.join(self.argv)} serves", START_WITHIN)
        return self

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.output}\n{self.log}")
        found = [LISTENING.match(line) for line in self.output.splitlines()]
        self.addresses = [(match[1].strip("[]"), int(match[2])) for match in found if match]
        return len(self.addresses) >= max(1, len(self.listen))

    @property
    def output(self) -> str:
        """What this start has printed on standard output."""
        return self.stdout_path.read_bytes()[self.offset :].decode()

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="surrogateescape")

    @property
    def address(self) -> tuple[str, int]:
        return self.addresses[0]

    @property
    def port(self) -> int:
        return self.address[1]

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def imds(self) -> Imds:
        return Imds(self.address)

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def memory(self, key: str = "VmHWM") -> int:
        """A line of /proc/PID/status in KiB: VmHWM is the most that was ever resident, VmRSS what is now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {key} for process {self.pid}")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def signal(self, number: int):
        self.process.send_signal(number)

    def wait_for_log(self, text: str, within: float = 10.0) -> str:
        """The first log line with this text."""

        def line():
            return next((line for line in self.log.splitlines() if text in line), None)

        return until(line, f"{text!r} in the log", within)

    def stop(self) -> int:
        """Asks the daemon to end and returns its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(STOP_WITHIN)

    def restart(self):
        assert self.stop() == 0
        return self.start()

    def kill(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
        shutil.rmtree(self.short_folder, ignore_errors=True)


def run(binary: Path, *args: str, env: dict[str, str] | None = None, cwd=None, **more) -> subprocess.CompletedProcess:
    """Runs the program to its end and keeps its output as text."""
    environment = {**clean_environment(Path(cwd or "/nonexistent")), **(env or {})}
    return subprocess.run(
        [str(binary), *args], env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, **more
    )


class Background:
    """Runs a function on a thread and hands back what it returned or raised."""

    def __init__(self, function, *args):
        self.result = None
        self.error = None

        def body():
            try:
                self.result = function(*args)
            except BaseException as error:  # handed to the test that joins
                self.error = error

        self.thread = threading.Thread(target=body, daemon=True)
        self.thread.start()

    def join(self, within: float = 30.0):
        self.thread.join(within)
        assert not self.thread.is_alive(), f"not finished within {within} s"
        if self.error:
            raise self.error
        return self.result
