"""Unmodified clients on 169.254.169.254 behind the proxy: the role is ours, everything else the upstream's."""

import json
import signal
import sys

import pytest

from conftest import TESTS
from support.daemon import Daemon, clean_environment
from support.netns import Namespace

THERE = """
tokens = "required"
[instance]
instance-id = "i-0000000000000aaaa"
availability-zone = "eu-west-1b"
[instance.tags]
Name = "there"
[roles.HostRole]
"""
BOTO3 = """
import json, boto3
from botocore.utils import IMDSRegionProvider
session = boto3.Session()
credentials = session.get_credentials()
print(json.dumps({
    "method": credentials.method,
    "access_key": credentials.access_key,
    "region": IMDSRegionProvider(session._session).provide(),
}))
"""
ROLES = "/latest/meta-data/iam/security-credentials/"


class Behind:
    """A namespace where 169.254.169.254 leads to a proxy, and the proxy to a service that requires tokens."""

    def __init__(self, binary, folder):
        self.namespace = Namespace()
        self.upstream = Daemon(binary, folder / "upstream", THERE, prefix=self.namespace.prefix).start()
        config = f'tokens = "required"\nupstream = "{self.upstream.url}"\n[roles.App]\n'
        self.daemon = Daemon(binary, folder / "proxy", config, prefix=self.namespace.prefix).start()
        self.namespace.lead_metadata_address_to(self.daemon.port)

    def close(self):
        self.daemon.kill()
        self.upstream.kill()
        self.namespace.close()

    def fetch(self, path: str) -> str:
        url = "http://169.254.169.254"
        put = ("-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60", f"{url}/latest/api/token")
        token = self.namespace.run("curl", "-sSf", *put).stdout
        return self.namespace.run("curl", "-sSf", "-H", f"X-aws-ec2-metadata-token: {token}", url + path).stdout

    def run(self, *argv: str, **env: str) -> str:
        return self.namespace.run(*argv, env=clean_environment(self.daemon.folder, **env)).stdout


@pytest.fixture(scope="module")
def behind(binary, tmp_path_factory):
    behind = Behind(binary, tmp_path_factory.mktemp("behind"))
    yield behind
    behind.close()


def test_boto3_has_our_role_and_the_upstreams_region(behind):
    seen = json.loads(behind.run(sys.executable, "-c", BOTO3))
    own = json.loads(behind.fetch(ROLES + "App"))
    assert seen == {"method": "iam-role", "access_key": own["AccessKeyId"], "region": "eu-west-1"}


def test_ec2_metadata_reads_the_upstreams_instance(behind):
    script = TESTS / "clients" / "python" / "ec2_metadata_client.py"
    seen = json.loads(behind.run(sys.executable, str(script)))
    assert seen["instance_id"] == "i-0000000000000aaaa"
    assert seen["region"] == "eu-west-1" and seen["availability_zone"] == "eu-west-1b"


def test_ec2metadata_of_cloud_utils(behind):
    assert behind.run("ec2metadata", "--instance-id").strip() == "i-0000000000000aaaa"


def test_the_role_does_not_wait_for_an_upstream_that_is_stopped(behind):
    behind.upstream.signal(signal.SIGSTOP)
    try:
        script = "import boto3; print(boto3.Session().get_credentials().access_key)"
        # botocore gives up after one second and has then none at all.
        key = behind.run(sys.executable, "-c", script).strip()
    finally:
        behind.upstream.signal(signal.SIGCONT)
    assert key == json.loads(behind.fetch(ROLES + "App"))["AccessKeyId"]
