"""A running daemon together with the commands that steer it, and what its clients see."""

import json

from .daemon import Daemon, run
from .wire import Answer


class Steered:
    """A running daemon, the commands of the program aimed at it, and what its clients see."""

    def __init__(self, binary, daemon: Daemon):
        self.binary = binary
        self.daemon = daemon

    def run(self, *args: str, **options):
        """Runs a command against the daemon, whatever comes of it."""
        options["env"] = {"FAKE_METADATA_CONTROL": str(self.daemon.control), **options.get("env", {})}
        return run(self.binary, *args, **options)

    def do(self, *args: str, **options) -> str:
        """Runs a command that must succeed without a word on standard error; returns what it printed."""
        result = self.run(*args, **options)
        assert (result.returncode, result.stderr) == (0, ""), result
        return result.stdout

    def refused(self, *args: str, **options) -> str:
        """Runs a command that must be refused as wrong usage; returns the reason."""
        result = self.run(*args, **options)
        assert (result.returncode, result.stdout) == (2, ""), result
        assert result.stderr.strip()
        return result.stderr

    def add(self, *args: str, **options) -> str:
        """`event ...` or `fault add ...`; returns the new one's id."""
        printed = self.do(*args, **options)
        assert printed.count("\n") == 1, printed
        return printed.split()[0]

    def events(self) -> list[dict]:
        return json.loads(self.do("event", "list", "--json"))

    def faults(self) -> list[dict]:
        return json.loads(self.do("fault", "list", "--json"))

    def status(self) -> dict:
        return json.loads(self.do("status", "--json"))

    def get(self, path: str, **more) -> Answer:
        """A path below meta-data, or a whole one, as it is answered to a client with a token."""
        path = path if path.startswith("/") else "/latest/meta-data/" + path
        return self.daemon.imds.get(path, self.daemon.imds.token(), **more)

    def meta(self, path: str) -> str | None:
        """The value at a path below meta-data; None when there is none (404)."""
        answer = self.get(path)
        assert answer.status in (200, 404), (path, answer)
        return answer.text if answer.status == 200 else None

    def json(self, path: str):
        value = self.meta(path)
        return None if value is None else json.loads(value)

    def menu(self, path: str = "") -> list[str]:
        """The lines of a listing; none when there is no listing."""
        value = self.meta(path)
        return [] if value is None else value.split("\n")
