"""An STS, AWS files, and a daemon whose roles ask it."""

from pathlib import Path

import pytest

from support.moto import Moto, Sts
from support.roles import Aws
from support.standin_sso import StandInSso


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    moto = Moto(tmp_path_factory.mktemp("moto"))
    yield moto
    moto.close()


@pytest.fixture
def sts(moto):
    """A relay to moto that counts; a new one for each test."""
    sts = Sts(moto)
    yield sts
    sts.stop()


@pytest.fixture
def aws(sts, serve, tmp_path) -> Aws:
    """AWS files with the long-lived keys of a person, and daemons that use them and this STS."""
    return Aws(Path(tmp_path / "aws"), sts, serve)


@pytest.fixture
def standin_sso(moto):
    standin = StandInSso(moto)
    yield standin
    standin.close()
