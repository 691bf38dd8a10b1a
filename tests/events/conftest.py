"""A daemon with the commands that steer it."""

import pytest

from support.steered import Steered


@pytest.fixture
def steer(serve, binary):
    """Starts a daemon and returns it with its commands: `steer(config, ...)` as `serve`."""

    def start(config: str | None = None, **options) -> Steered:
        return Steered(binary, serve(config, **options))

    return start


@pytest.fixture
def steered(steer) -> Steered:
    """The daemon without any configuration."""
    return steer()
