"""The servers that are measured: built once, started on a free port, ended after use."""

import os
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
CHECKOUT = BENCH.parent.parent
LEAF = "/latest/meta-data/instance-id"
CREDENTIALS = "/latest/meta-data/iam/security-credentials/BaseIAMRole"
# What a first start makes keys for.
SIGNATURE = "/latest/dynamic/instance-identity/rsa2048"
# A leaf of the tree with as many bytes as the document of generated credentials.
LONG_LEAF = "/latest/meta-data/long"
LONG_BYTES = 1254
# The daemon is told this instance id, so that all three send the same bytes.
INSTANCE_ID = "i-0123456789abcdef0"


def target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR") or CHECKOUT / "target")


def build(folder: Path, daemon: Path | None) -> dict[str, Path]:
    """Builds all three, but for a daemon that is built, and returns their programs."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target())}
    cargo = ["cargo", "build", "--release", "--locked"]
    if not daemon:
        subprocess.run([*cargo, "-p", "fake-metadata"], cwd=CHECKOUT, env=environment, check=True)
    subprocess.run(cargo, cwd=BENCH / "hyper-hello", env=environment, check=True)
    go = folder / "go-hello"
    subprocess.run(
        ["go", "build", "-o", str(go), "main.go"], cwd=BENCH / "go-hello", env={**os.environ, "GO111MODULE": "off"}, check=True
    )
    release = target() / "release"
    return {"fake-metadata": daemon or release / "fake-metadata", "bare hyper": release / "hyper-hello", "Go net/http": go}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server:
    """One of the three, running, perhaps under another program; the daemon with its request log written to a file."""

    def __init__(
        self, name: str, program: Path, state: Path | None = None, options: tuple[str, ...] = (), under: tuple[str, ...] = ()
    ):
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="fake-metadata-bench-"))
        self.log = self.folder / "server.log"
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        self.argv = [str(program), address, INSTANCE_ID]
        if name == "fake-metadata":
            self.argv = [
                *(str(program), "serve", "--listen", address, "--log-file", str(self.log)),
                *("--state-dir", str(state or self.folder / "state"), "--control", str(self.folder / "control.sock")),
                *("--set", f"instance.instance-id={INSTANCE_ID}"),
                *("--set", f'tree."meta-data/long"={"x" * LONG_BYTES}'),
                *options,
            ]
        self.begun = time.perf_counter()
        self.process = subprocess.Popen([*under, *self.argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        self.first_answer()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)

    def first_answer(self) -> float:
        """Seconds from just before exec to the first whole answer; asks as often as it can."""
        request = f"GET {LEAF} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        while time.perf_counter() - self.begun < 10:
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as connection:
                    connection.sendall(request)
                    answer = b""
                    while piece := connection.recv(65536):
                        answer += piece
            except ConnectionRefusedError:
                continue
            assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(INSTANCE_ID.encode()), answer
            return time.perf_counter() - self.begun
        raise RuntimeError(f"{self.name} does not answer")

    def url(self, path: str = LEAF) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def reply(self) -> tuple[str, list[str], bytes]:
        """Status line, header lines as they are sent but for the dates and the order, and body."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(f"GET {LEAF} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return status, sorted(re.sub(r"(?<=: ).* GMT$", "DATE", line) for line in lines), body

    def memory(self) -> int:
        """Resident KiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])
