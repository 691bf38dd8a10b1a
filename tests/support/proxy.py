"""A real HTTP proxy, tinyproxy, that asks for a password and tells what it was asked for."""

import socket
import subprocess
from pathlib import Path

from .daemon import clean_environment
from .wait import until

USER, PASSWORD = "ann", "password-of-the-proxy"


class Proxy:
    def __init__(self, folder: Path):
        folder.mkdir()
        self.log = folder / "log"
        # It cannot choose one itself.
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        config = folder / "conf"
        config.write_text(
            f'Port {self.port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nBasicAuth {USER} {PASSWORD}\n'
            f'LogFile "{self.log}"\nLogLevel Connect\n'
        )
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "tinyproxy", "-d", "-c", str(config)],
            env=clean_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._accepts, "tinyproxy serves")

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self) -> str:
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def requests(self) -> list[str]:
        """The request lines it was sent, without their passwords."""
        marker = "Request (file descriptor"
        return [line.split("): ", 1)[1] for line in self.log.read_text().splitlines() if marker in line]

    def close(self):
        self.process.kill()
        self.process.wait()
