"""What every hostile client must leave behind: a daemon that is up, small, and serves the next client at once."""

import time
from contextlib import contextmanager

import pytest

from support.daemon import Daemon

MEMORY_LIMIT_KIB = 64 * 1024
NEXT_CLIENT_WITHIN = 1.0
LEAF = "/latest/meta-data/instance-id"


def assert_serves_at_once(daemon: Daemon):
    """The issue sets this deadline: the next client is served within a second."""
    begun = time.monotonic()
    answer = daemon.imds.get(LEAF)
    took = time.monotonic() - begun
    assert answer.status == 200 and answer.text.startswith("i-")
    assert took < NEXT_CLIENT_WITHIN, f"the next client waited {took:.2f} s"


@contextmanager
def endured(daemon: Daemon):
    """Around an attack: the next client is served while it lasts (if the body asks) and after it."""
    yield
    assert daemon.running(), f"the daemon ended with {daemon.process.returncode}:\n{daemon.log[-2000:]}"
    assert_serves_at_once(daemon)
    peak = daemon.memory("VmHWM")
    assert peak < MEMORY_LIMIT_KIB, f"{peak} KiB were resident"
    assert "panicked" not in daemon.log


@pytest.fixture
def daemon(serve) -> Daemon:
    """One of its own for every test, so that its peak of memory is that test's."""
    return serve()
