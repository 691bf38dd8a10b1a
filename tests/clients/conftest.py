"""What the clients need: built Go and Rust programs, and the stand-in S3 beside the daemon."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import CACHE, TESTS, built

CLIENTS = TESTS / "clients"


@pytest.fixture(scope="module")
def instance(make_instance):
    """An instance that asks for session tokens, as new AMIs do."""
    return make_instance('tokens = "required"\n')


@pytest.fixture(scope="module")
def s3_of():
    """Starts a stand-in S3 on an instance that accepts the instance's role and nobody else, and returns its URL there."""
    servers = []

    def start(instance) -> str:
        program = str(TESTS / "support" / "s3.py")
        server = instance.spawn("/usr/bin/python3", program, "BaseIAMRole", stdout=subprocess.PIPE)
        servers.append(server)
        line = server.stdout.readline().decode()
        assert line.startswith("listening on "), line
        return f"http://127.0.0.1:{line.split()[-1]}"

    yield start
    for server in servers:
        server.kill()
        server.wait()
        server.stdout.close()


@pytest.fixture(scope="module")
def s3(instance, s3_of):
    """The stand-in S3 of the instance."""
    return s3_of(instance)


def go_program(name: str, folder: Path) -> Path:
    """Builds a Go client against Debian's packages of the SDK, which live in a GOPATH of their own."""
    program = folder / name
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOFLAGS": "-trimpath",
        "GOCACHE": str(CACHE / "go"),
    }
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=CLIENTS / name, env=environment, check=True)
    return program


@pytest.fixture(scope="session")
def go_v1(shared_folder):
    return go_program("go-v1", shared_folder)


@pytest.fixture(scope="session")
def go_v2(shared_folder):
    return go_program("go-v2", shared_folder)


@pytest.fixture(scope="session")
def rust_client():
    return built(name="rust-client", cwd=CLIENTS / "rust")


@pytest.fixture(scope="session")
def rust_credentials():
    return built(name="rust-credentials", cwd=CLIENTS / "rust")


@pytest.fixture(scope="session")
def venv_program():
    """The path of a program of the tests' own Python environment (aws, node)."""

    def find(name: str) -> str:
        path = Path(sys.executable).parent / name
        assert path.exists(), f"{path} is missing: run the tests with tests/run"
        return str(path)

    return find


@pytest.fixture(scope="session")
def javascript_folder():
    """Where tests/run installed the npm packages of clients/javascript."""
    given = os.environ.get("TESTS_NPM")
    assert given and Path(given, "node_modules").is_dir(), "no npm packages: run the tests with tests/run"
    return Path(given)
