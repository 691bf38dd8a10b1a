"""Fixtures: the built programs, a daemon a test, and a network namespace where 169.254.169.254 really answers."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.daemon import Daemon, clean_environment
from support.netns import Namespace

TESTS = Path(__file__).resolve().parent
CHECKOUT = TESTS.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fake-metadata"


def built(*cargo_args: str, name: str, cwd: Path = CHECKOUT) -> Path:
    """Builds with cargo and returns the path of the executable it names (so CARGO_TARGET_DIR is respected).

    The test programs are workspaces of their own and share the target folder of the daemon's."""
    result = subprocess.run(
        ["cargo", "build", "--locked", "--message-format=json-render-diagnostics", *cargo_args],
        cwd=cwd,
        env={"CARGO_TARGET_DIR": str(CHECKOUT / "target"), **os.environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert result.returncode == 0, f"cargo build {' '.join(cargo_args)} failed"
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    found = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == name]
    assert found, f"cargo build {' '.join(cargo_args)} made no {name}"
    return Path(found[-1])


@pytest.fixture(scope="session")
def shared_folder():
    """A folder that other users can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="fake-metadata-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def binary(shared_folder) -> Path:
    """The daemon, built once. FAKE_METADATA_BINARY names another one to test (a release build, a package's)."""
    given = os.environ.get("FAKE_METADATA_BINARY")
    path = Path(given) if given else built("-p", "fake-metadata", name="fake-metadata")
    # Where the user nobody can run it too.
    return Path(shutil.copy(path, shared_folder / "fake-metadata"))


@pytest.fixture
def serve(binary, tmp_path):
    """Starts daemons: `serve(config, listen=..., env=..., ...)`; each is killed when the test ends."""
    running: list[Daemon] = []

    def start(config: str | None = None, *, started: bool = True, **options) -> Daemon:
        options.setdefault("folder", tmp_path / f"daemon{len(running)}")
        daemon = Daemon(binary, config=config, **options)
        running.append(daemon)
        return daemon.start() if started else daemon

    yield start
    for daemon in running:
        daemon.kill()


@pytest.fixture(scope="module")
def serve_module(binary, tmp_path_factory):
    """As `serve`, for daemons that the tests of one file share because none of them changes anything."""
    running: list[Daemon] = []

    def start(config: str | None = None, **options) -> Daemon:
        options.setdefault("folder", tmp_path_factory.mktemp("daemon"))
        daemon = Daemon(binary, config=config, **options)
        running.append(daemon)
        return daemon.start()

    yield start
    for daemon in running:
        daemon.kill()


@pytest.fixture(scope="module")
def default_daemon(serve_module) -> Daemon:
    """The daemon as it serves with no configuration at all."""
    return serve_module()


@pytest.fixture(scope="module")
def imds(default_daemon):
    return default_daemon.imds


@pytest.fixture
def namespace():
    with Namespace() as namespace:
        yield namespace


class Instance:
    """A namespace that is an EC2 instance to whatever runs in it: 169.254.169.254:80 leads to a daemon inside."""

    def __init__(self, namespace: Namespace, daemon: Daemon, home: Path):
        self.namespace = namespace
        self.daemon = daemon
        self.home = home

    def environment(self, **more: str) -> dict[str, str]:
        return clean_environment(self.home, **more)

    def run(self, *argv: str, env: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess:
        """Runs an unmodified program on the instance, with no AWS setting beyond what `env` says."""
        return self.namespace.run(*argv, env=self.environment(**(env or {})), cwd=self.home, **more)

    def spawn(self, *argv: str, **more) -> subprocess.Popen:
        return subprocess.Popen(
            [*self.namespace.prefix, "setpriv", "--pdeathsig", "KILL", "--", *argv], env=self.environment(), **more
        )

    def fetch(self, path: str) -> str:
        """A path of the metadata service, read with curl and a token."""
        url = "http://169.254.169.254"
        ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60"
        token = self.run("curl", "-sSf", "-X", "PUT", "-H", ttl, f"{url}/latest/api/token").stdout
        return self.run("curl", "-sSf", "-H", f"X-aws-ec2-metadata-token: {token}", url + path).stdout


@pytest.fixture(scope="module")
def make_instance(binary, tmp_path_factory):
    """Makes instances: `make_instance(config)`; all are gone when the tests of the file are."""
    made: list[Instance] = []

    def make(config: str | None = None, **options) -> Instance:
        namespace = Namespace()
        daemon = Daemon(
            binary, tmp_path_factory.mktemp("instance"), config=config, prefix=namespace.prefix, **options
        )
        made.append(Instance(namespace, daemon, tmp_path_factory.mktemp("home")))
        daemon.start()
        namespace.lead_metadata_address_to(daemon.port)
        return made[-1]

    yield make
    for instance in made:
        instance.daemon.kill()
        instance.namespace.close()
