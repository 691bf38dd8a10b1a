"""The hop limit, as a container behind a bridge sees it (EC2: the IP time-to-live of the token reply).

We sit one hop nearer to the container than EC2 does, so the daemon plays the outcome: with 1 the token reply never
arrives, with 2 it does, and nothing else on the connection is affected.
"""

import json
import subprocess
import sys

import pytest

from support.daemon import Daemon
from support.netns import METADATA_ADDRESS, Namespace
from support.wait import until

TTL = "X-aws-ec2-metadata-token-ttl-seconds: 60"
URL = f"http://{METADATA_ADDRESS}"


class Host:
    """A machine with a daemon, and a container behind a bridge for which 169.254.169.254 leads there too."""

    def __init__(self, binary, folder, hop_limit: int | None):
        self.host, self.container = Namespace(), Namespace()
        # What fake-metadata-setup does for containers: the address on lo, DNAT to the daemon's second listener.
        bridge = self.host.attach_container(self.container)
        config = f"hop-limit = {hop_limit}\n" if hop_limit else ""
        self.host.run("ip", "addr", "add", f"{METADATA_ADDRESS}/32", "dev", "lo", "scope", "host")
        self.daemon = Daemon(
            binary, folder, config=config, listen=("127.0.0.1:0", f"{METADATA_ADDRESS}:0"), prefix=self.host.prefix
        ).start()
        (_, local), (_, for_containers) = self.daemon.addresses
        self.host.run(
            *("iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-d", f"{METADATA_ADDRESS}/32", "-p", "tcp"),
            *("--dport", "80", "-j", "REDIRECT", "--to-ports", str(local)),
        )
        self.host.lead_containers_to(bridge, METADATA_ADDRESS, for_containers)

    def close(self):
        self.daemon.kill()
        self.container.close()
        self.host.close()


@pytest.fixture
def make_host(binary, tmp_path):
    made = []

    def make(hop_limit: int | None) -> Host:
        made.append(Host(binary, tmp_path / f"host{len(made)}", hop_limit))
        return made[-1]

    yield make
    for host in made:
        host.close()


def put(namespace: Namespace, *more: str, within: int = 5) -> subprocess.CompletedProcess:
    command = ("curl", "-sS", "--max-time", str(within), "-X", "PUT", "-H", TTL, *more, f"{URL}/latest/api/token")
    return namespace.run(*command, check=False)


def test_with_1_the_token_reply_never_reaches_a_container(make_host):
    host = make_host(1)
    result = put(host.container, within=2)
    assert result.returncode == 28, result  # curl: operation timed out
    assert result.stdout == ""
    host.daemon.wait_for_log("hop-limit")


def test_with_1_the_connection_hangs_and_then_closes_without_a_byte(make_host):
    host = make_host(1)
    result = put(host.container, "-w", "%{time_total}", within=60)
    assert result.returncode in (52, 56), result  # curl: empty reply, or reset
    assert float(result.stdout) > 2


def test_with_1_reads_without_a_token_are_not_affected(make_host):
    host = make_host(1)
    result = host.container.run("curl", "-sSf", "--max-time", "5", f"{URL}/latest/meta-data/instance-id")
    assert result.stdout.startswith("i-")


def test_with_1_a_token_that_a_local_caller_got_works_in_the_container(make_host):
    host = make_host(1)
    token = put(host.host).stdout
    header = f"X-aws-ec2-metadata-token: {token}"
    result = host.container.run("curl", "-sSf", "--max-time", "5", "-H", header, f"{URL}/latest/meta-data/instance-id")
    assert result.stdout.startswith("i-")


def test_with_1_a_refused_token_request_is_answered(make_host):
    """Only the reply that carries a token has the short time-to-live that matters to a client."""
    host = make_host(1)
    result = host.container.run(
        *("curl", "-sS", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT"),
        f"{URL}/latest/api/token",
    )
    assert result.stdout == "400"


def test_with_1_local_callers_get_their_token_directly_and_through_the_redirect(make_host):
    host = make_host(1)
    assert len(put(host.host).stdout) == 56
    direct = host.host.run("curl", "-sSf", "-X", "PUT", "-H", TTL, f"{host.daemon.url}/latest/api/token")
    assert len(direct.stdout) == 56


@pytest.mark.parametrize("hop_limit", [2, 64, None])
def test_with_2_or_more_or_unset_a_container_gets_its_token(make_host, hop_limit):
    assert len(put(make_host(hop_limit).container).stdout) == 56


def test_with_1_a_waiting_container_keeps_nobody_else_waiting(make_host):
    host = make_host(1)
    waiting = subprocess.Popen(
        [*host.container.prefix, "curl", "-s", "--max-time", "30", "-X", "PUT", "-H", TTL, f"{URL}/latest/api/token"]
    )
    host.daemon.wait_for_log("hop-limit")
    assert host.container.run("curl", "-sSf", "--max-time", "1", f"{URL}/latest/meta-data/mac").stdout
    assert len(put(host.host, within=1).stdout) == 56
    waiting.kill()
    waiting.wait()


def test_with_1_the_container_falls_back_as_on_ec2_to_version_1(make_host, tmp_path):
    """botocore gives the token up after a second and reads without one (reference 6.2)."""
    host = make_host(1)
    script = "import boto3; c = boto3.Session().get_credentials(); print(c.access_key)"
    result = host.container.run(sys.executable, "-c", script, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    role = host.host.run("curl", "-sSf", f"{URL}/latest/meta-data/iam/security-credentials/BaseIAMRole").stdout
    assert result.stdout.strip() == json.loads(role)["AccessKeyId"]
    until(lambda: "v1" in host.daemon.log, "a version 1 read")
