"""A role by container: real engines, real containers, asked at once."""

import json
import sys

import pytest

from conftest import TESTS
from support.daemon import Daemon, clean_environment, run
from support.engine import LIST, Engine
from support.moto import Moto
from support.netns import METADATA_ADDRESS, Namespace
from support.wait import until

CONFIG = """
[roles.AppA]
[roles.AppB]
[roles.Base]
[callers]
default = "Base"
docker = "{socket}"
"""


class Host:
    """A host with a container engine, on which 169.254.169.254 leads to a daemon, from containers too."""

    def __init__(self, kind: str, binary, folder):
        self.binary = binary
        self.namespace = Namespace()
        self.engine = Engine(kind, self.namespace)
        self.folder = folder
        self.daemon = None

    def start(self):
        self.engine.start()
        self.namespace.run("ip", "addr", "add", f"{METADATA_ADDRESS}/32", "dev", "lo", "scope", "host")
        self.serve(CONFIG.format(socket=self.engine.socket))
        return self

    def serve(self, config: str):
        """Starts the daemon, in place of one that runs."""
        listen = ("127.0.0.1:0", f"{METADATA_ADDRESS}:0")
        if self.daemon:
            self.daemon.kill()
            self.namespace.run("iptables", "-w", "-t", "nat", "-F", "OUTPUT")
            self.namespace.run("iptables", "-w", "-t", "nat", "-F", "PREROUTING")
        self.daemon = Daemon(self.binary, self.folder, config, listen=listen, prefix=self.namespace.prefix).start()
        (_, redirected), (_, direct) = self.daemon.addresses
        rule = ("iptables", "-w", "-t", "nat", "-A")
        match = ("-d", f"{METADATA_ADDRESS}/32", "-p", "tcp", "--dport", "80")
        self.namespace.run(*rule, "OUTPUT", *match, "-j", "REDIRECT", "--to-ports", str(redirected))
        to = f"{METADATA_ADDRESS}:{direct}"
        self.namespace.run(*rule, "PREROUTING", *match, "-j", "DNAT", "--to-destination", to)

    def close(self):
        if self.daemon:
            self.daemon.kill()
        self.engine.close()
        self.namespace.close()

    def status(self) -> dict:
        result = run(self.binary, "status", "--json", "--control", str(self.daemon.control))
        return json.loads(result.stdout)


@pytest.fixture(scope="module", params=["docker", "podman"])
def host(request, binary, tmp_path_factory):
    host = Host(request.param, binary, tmp_path_factory.mktemp("host"))
    try:
        yield host.start()
    finally:
        host.close()


@pytest.fixture(autouse=True)
def clean(host):
    """Every test finds the engine without containers."""
    yield
    # One that shares another's network must go before it, and engines list them in different orders.
    def left() -> list[str]:
        return host.engine.docker("ps", "--all", "--quiet").stdout.split()

    for _ in left():
        for name in left():
            host.engine.docker("rm", "--force", name, check=False)
    assert not left()


def test_four_containers(host):
    """Two roles, the default one, and the host's network: each is right from its first question on."""
    one = host.engine.run("one", "--env", "IAM_ROLE=AppA")
    two = host.engine.run("two", "--label", "fake-metadata.role=AppB")
    silent = host.engine.run("silent")
    on_host = host.engine.run("on-host", "--network", "host", "--env", "IAM_ROLE=AppA")
    answers = [container.first_answer for container in (one, two, silent, on_host)]
    assert answers == ["AppA", "AppB", "Base", "Base"]
    assert [container.ask() for container in (one, two, silent, on_host)] == answers
    document = json.loads(one.ask(LIST + "AppA"))
    assert document["Code"] == "Success" and one.ask(LIST + "AppB") is None


def test_an_address_that_changes_hands(host):
    """A new container on an old one's address asks at once, and is given its own role every time."""
    address = None
    for number, role in enumerate(["AppA", "AppB", None, "AppA", None, "AppB"]):
        options = ["--env", f"IAM_ROLE={role}"] if role else []
        if address:
            # The same address again, whatever the engine would have chosen.
            options += ["--network", "fixed", "--ip", address]
        else:
            host.engine.docker("network", "create", "--subnet", "172.31.9.0/24", "fixed")
            options += ["--network", "fixed"]
        container = host.engine.run(f"tenant{number}", *options)
        assert container.first_answer == (role or "Base"), number
        assert address in (None, *container.addresses())
        address = container.addresses()[0]
        container.remove()
    host.engine.docker("network", "rm", "fixed")


def test_every_network_of_a_container(host):
    for name, subnet in [("front", "172.31.11.0/24"), ("back", "172.31.12.0/24")]:
        host.engine.docker("network", "create", "--subnet", subnet, name)
    container = host.engine.run("both", "--env", "IAM_ROLE=AppA", "--network", "front")
    assert container.first_answer == "AppA"
    host.engine.docker("network", "connect", "back", "both")
    host.engine.docker("network", "disconnect", "front", "both")
    assert container.addresses()[0].startswith("172.31.12.")
    assert container.ask() == "AppA"
    container.remove()
    for name in ("front", "back"):
        host.engine.docker("network", "rm", name)


def test_two_compose_projects(host):
    """Each has a network of its own, on which its containers have the same name, and one that both are on."""
    host.engine.docker("network", "create", "--subnet", "172.31.15.0/24", "both_projects")
    projects = {"shop": ("172.31.13.0/24", "AppA"), "blog": ("172.31.14.0/24", "AppB")}
    made = {}
    for project, (subnet, role) in projects.items():
        host.engine.docker("network", "create", "--subnet", subnet, f"{project}_default")
        labels = {"com.docker.compose.project": project, "com.docker.compose.service": "web", "fake-metadata.role": role}
        options = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        network = ("--network", f"{project}_default", "--network-alias", "web")
        made[project] = host.engine.run(f"{project}-web-1", *network, *options)
    assert [made[project].first_answer for project in projects] == ["AppA", "AppB"]
    for project in projects:
        host.engine.docker("network", "connect", "both_projects", f"{project}-web-1")
    assert [made[project].ask() for project in projects] == ["AppA", "AppB"]
    for project in projects:
        made[project].remove()
    for name in ("shop_default", "blog_default", "both_projects"):
        host.engine.docker("network", "rm", name)


def test_a_container_in_anothers_network_is_that_one(host):
    """It has the other one's address, and cannot be told from it; it never gets a third one's."""
    one = host.engine.run("one", "--env", "IAM_ROLE=AppA")
    assert one.first_answer == "AppA"
    guest = host.engine.run("guest", "--network", "container:one", "--env", "IAM_ROLE=AppB")
    assert guest.first_answer == "AppA"
    assert one.ask() == "AppA"


def test_a_role_that_is_not_there_is_none(host):
    lost = host.engine.run("lost", "--env", "IAM_ROLE=Missing")
    assert lost.first_answer == "none"
    host.daemon.wait_for_log('there is no role "Missing" (add a table [roles.Missing]')
    strange = host.engine.run("strange", "--env", "IAM_ROLE=a b")
    assert strange.first_answer == "none"
    host.daemon.wait_for_log("container strange: IAM_ROLE is no role's name")


def test_status_shows_the_engine_and_who_asked(host):
    one = host.engine.run("one", "--env", "IAM_ROLE=AppA")
    assert one.ask(LIST + "AppA")
    # The engine tells of a container when it has started it, which may be after its first request.
    engine = {"socket": str(host.engine.socket), "connected": True, "error": None, "containers": 1}
    until(lambda: host.status()["engines"] == [engine], "status knows the container")
    role = next(role for role in host.status()["roles"] if role["role"] == "AppA")
    assert role["asked-by"].startswith(f"container one ({one.addresses()[0]}:")


STS = """
[callers]
docker = "{socket}"
[callers.container-role]
source = "assume-role"
[aws]
credentials-file = "{credentials}"
sts-endpoint = "{sts}"
accounts = {{ prod = "111122223333" }}
"""


def test_containers_assume_the_roles_that_they_name(host, tmp_path):
    """As with metadataproxy: nothing of the roles is configured, and each session is the container's own."""
    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_access_key_id = AKIAOFTHEHOST0000001\naws_secret_access_key = secret\n")
    moto = Moto(tmp_path / "moto", prefix=host.namespace.prefix)
    try:
        host.serve(STS.format(socket=host.engine.socket, credentials=credentials, sts=moto.url))
        asked = {
            "web": ("team/Web@prod", "IAM_SESSION_NAME=web-1", "111122223333:assumed-role/Web/web-1"),
            "two": ("team/Web@prod", "IAM_SESSION_NAME=web-2", "111122223333:assumed-role/Web/web-2"),
            "job": ("arn:aws:iam::444455556666:role/Job", "IAM_EXTERNAL_ID=theirs", "444455556666:assumed-role/Job/i-"),
        }
        for name, (role, more, arn) in asked.items():
            container = host.engine.run(name, "--env", f"IAM_ROLE={role}", "--env", more)
            listed = role.split("@")[0].split("/")[-1]
            assert container.first_answer == listed
            document = json.loads(container.ask(LIST + listed))
            assert caller(host, moto, document).startswith(f"arn:aws:sts::{arn}"), name
        lost = host.engine.run("lost", "--env", "IAM_ROLE=Web@nowhere")
        assert lost.first_answer == "none"
        assert "nowhere" in host.daemon.wait_for_log("asked for by a container")
    finally:
        moto.close()
        host.serve(CONFIG.format(socket=host.engine.socket))


def caller(host, moto, document: dict) -> str:
    """The ARN that STS sees behind the credentials of a document."""
    env = clean_environment(
        host.folder,
        AWS_ACCESS_KEY_ID=document["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=document["SecretAccessKey"],
        AWS_SESSION_TOKEN=document["Token"],
    )
    script = TESTS / "roles" / "caller_identity.py"
    return json.loads(host.namespace.run(sys.executable, str(script), moto.url, env=env).stdout)["arn"]
