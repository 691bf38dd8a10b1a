"""64 readers during 10,000 live changes: no mixed state, no error."""

import base64
import json
import subprocess
import sys

import pytest

from conftest import TESTS
from support.control import Control

READERS = 64
CHANGES = 10_000
MEMORY_LIMIT_KIB = 64 * 1024
# Beside them, every so many changes:
EVENT_EVERY = 100
RELOAD_EVERY = 500


def numbered(number: int) -> dict:
    """The change that writes a number everywhere at once, and takes the one before it away."""

    def tags(number: int) -> list[str]:
        return [f"left-{number}", f"right-{number}"]

    def value(path: str) -> dict:
        return {"change": "set", "path": "meta-data/" + path, "value": str(number)}

    changes = [value("pair/left"), value("pair/right")]
    changes += [{"change": "tag", "key": key, "value": "x"} for key in tags(number)]
    changes.append({"change": "user-data", "base64": base64.b64encode(str(number).encode()).decode()})
    changes.append({"change": "tokens", "mode": "required" if number % 3 else "optional"})
    gone = {"unset-tags": tags(number - 1) if number else []}
    if number % 2:
        return {"changes": changes + [value("some/one"), value("some/two")], **gone}
    return {"changes": changes, "unset": ["meta-data/some/one", "meta-data/some/two"] if number else [], **gone}


class Readers:
    """The readers' program, started and reading."""

    def __init__(self, daemon, count: int):
        host, port = daemon.address
        program = [sys.executable, str(TESTS / "support" / "readers.py"), host, str(port), str(count)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout.readline() == "reading\n", self.process.stderr.read()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def read(serve):
    started = []

    def start(daemon, count: int) -> Readers:
        started.append(Readers(daemon, count))
        return started[-1]

    yield start
    for readers in started:
        readers.process.kill()
        readers.process.wait()


@pytest.mark.timeout(600)
def test_64_readers_see_no_mixed_state_and_no_error_during_10_000_changes(serve, read, capsys):
    daemon = serve('[log]\nlevel = "warn"\n')
    with Control(daemon) as control:
        control.ask("POST", "/v1/changes", numbered(0))
        readers = read(daemon, READERS)
        for number in range(1, CHANGES + 1):
            control.ask("POST", "/v1/changes", numbered(number))
            assert readers.process.poll() is None, readers.end()
            if number % EVENT_EVERY == 0:
                control.ask("POST", "/v1/events", {"events": [{"kind": "spot"}], "replace": True})
            if number % RELOAD_EVERY == 0:
                control.ask("POST", "/v1/reload", {})
    code, out, err = readers.end()
    assert code == 0, err
    done = json.loads(out)
    with capsys.disabled():
        print(f"\n{CHANGES} changes: {done}")
    assert done["readers"] == READERS
    assert done["least"] > 100, "every reader read while changes were made"
    assert done["states"] > CHANGES / 100, "they saw many of the states between"
    assert daemon.memory() < MEMORY_LIMIT_KIB
    assert daemon.imds.get("/latest/meta-data/pair/right", daemon.imds.token()).text == str(CHANGES)


@pytest.mark.parametrize(
    ("parts", "seen"),
    [
        (lambda change: change["path"].endswith("pair/left"), "Mixed: "),
        (lambda change: change.get("key", "").startswith("left"), "Mixed: tags/instance/"),
    ],
)
def test_the_readers_notice_a_change_in_two_parts(serve, read, parts, seen):
    """Proof that the check can fail: the same changes, one request after the other."""
    daemon = serve()
    with Control(daemon) as control:
        control.ask("POST", "/v1/changes", numbered(0))
        readers = read(daemon, 4)
        for number in range(1, CHANGES):
            changes = numbered(number)
            first = [change for change in changes["changes"] if parts({"path": "", **change})]
            control.change(first)
            rest = [change for change in changes["changes"] if change not in first]
            control.ask("POST", "/v1/changes", {**changes, "changes": rest})
            if readers.process.poll() is not None:
                break
    code, _, err = readers.end()
    assert code == 1 and err.startswith(seen), err
