"""cloud-init, as the distribution packages it, boots on the instance and its Ec2 datasource crawls everything."""

import io
import json
import subprocess
import tarfile
import tempfile

import pytest

from conftest import TESTS

BOOT = TESTS / "clients" / "cloud-init" / "boot"
USER_DATA = "#cloud-config\\nwrite_files:\\n- {path: /written-by-user-data, content: hello from user-data}\\n"
CONFIG = f"""
tokens = "required"
[instance]
user-data = "{USER_DATA}"
instance-metadata-tags = "enabled"
[instance.tags]
Name = "front-1"
"""
UUID = "ec27dbbc-b3ef-ba5a-788c-c560dcaab30a"
# The newest of the versions that this datasource knows; everything is read under it.
VERSION = "2021-03-23"


class Boot:
    """What one boot left behind."""

    def __init__(self, archive: bytes, status: int):
        self.status = status
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            self.files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
        self.log = self.files["var/log/cloud-init.log"].decode()
        self.data = json.loads(self.files["run/cloud-init/instance-data-sensitive.json"])


@pytest.fixture(scope="module")
def instance(make_instance):
    return make_instance(CONFIG)


@pytest.fixture(scope="module")
def boot(instance):
    with tempfile.TemporaryDirectory() as work:
        result = instance.namespace.run(
            *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--"),
            *(str(BOOT), work, UUID, "t3.nano", "i-0123456789abcdef0"),
            env=instance.environment(),
            text=False,
            check=False,
        )
    assert result.stdout, result.stderr.decode()
    return Boot(result.stdout, result.returncode)


def test_the_boot_ends_without_an_error_or_a_warning(boot):
    status = json.loads(boot.files["var/lib/cloud/data/status.json"])["v1"]
    assert boot.status == 0
    assert status["init"]["errors"] == []
    assert status["datasource"].startswith("DataSourceEc2"), status
    assert [line for line in boot.log.splitlines() if "[WARNING]" in line or "[ERROR]" in line] == []
    assert "Traceback" not in boot.log


def test_the_platform_is_ec2_and_the_values_are_the_instances(boot, instance):
    v1 = boot.data["v1"]
    assert (v1["cloud_name"], v1["platform"]) == ("aws", "ec2")
    assert v1["instance_id"] == instance.fetch("/latest/meta-data/instance-id")
    assert v1["region"] == instance.fetch("/latest/meta-data/placement/region")
    assert v1["availability_zone"] == instance.fetch("/latest/meta-data/placement/availability-zone")


def test_the_crawl_holds_every_leaf_of_its_version(boot, instance):
    """Walks the listings ourselves and finds each value in what cloud-init collected; credentials it leaves out."""

    def compare(path: str, collected: dict):
        for entry in instance.fetch(path).splitlines():
            name = entry.rstrip("/").split("=")[-1]
            if name == "security-credentials":
                continue
            assert name in collected, f"{path}{entry} was not collected"
            if path.endswith("/public-keys/"):
                continue
            if entry.endswith("/"):
                compare(path + entry, collected[name])
            else:
                assert same(instance.fetch(path + entry), collected[name]), path + entry

    compare(f"/{VERSION}/meta-data/", boot.data["ds"]["meta-data"])
    assert boot.data["ds"]["_metadata_api_version"] == VERSION


def same(text: str, collected) -> bool:
    """cloud-init turns JSON objects into dicts and several lines into lists."""
    if isinstance(collected, dict):
        return json.loads(text) == collected
    if isinstance(collected, list):
        return text.splitlines() == collected
    return text == collected


def test_the_identity_document_and_its_signatures_were_read(boot, instance):
    identity = boot.data["ds"]["dynamic"]["instance-identity"]
    assert identity["document"] == json.loads(instance.fetch(f"/{VERSION}/dynamic/instance-identity/document"))
    assert sorted(identity) == ["document", "pkcs7", "rsa2048", "signature"]


def test_user_data_was_carried_out(boot):
    assert boot.files["written-by-user-data"] == b"hello from user-data"


def test_every_read_was_version_2_and_none_failed(boot, instance):
    """The datasource does not fall back to version 1 on AWS, and one 404 on a listed entry would end its crawl."""
    reads = [line for line in instance.daemon.log.splitlines() if f"/{VERSION}/" in line]
    assert len(reads) > 40
    assert [line for line in reads if " 401 " in line or " 404 " in line] == []
