"""Every listing of every version agrees with what is there: alphabetical, no trailing newline, nothing that answers 404."""

import pytest

from support.expected import VERSIONS
from support.wire import Connection, request_bytes

FULL = """
[instance]
region = "eu-central-1"
public-ipv4 = "192.0.2.54"
ipv6 = "2001:db8:1::17"
product-codes = ["3iplms73etrdhxdepv72l6ywj"]
kernel-id = "aki-0123456789abcdef0"
ramdisk-id = "ari-0123456789abcdef0"
ancestor-ami-ids = ["ami-0123456789abcdef1", "ami-0123456789abcdef2"]
group-name = "my-group"
host-id = "h-0da999999f9999fb9"
partition-number = 1
target-lifecycle-state = "InService"
user-data = "hello"

[instance.tags]
Name = "front-1"
"key+with-every.allowed,_:@=" = "value"

[instance.public-keys]
first = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMwzgKuJiclqdh/o693yPiP+vxDYPitVluWP7NBfV63Z first"
second = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMwzgKuJiclqdh/o693yPiP+vxDYPitVluWP7NBfV63Z second"

[[instance.volumes]]
device-name = "/dev/sdf"

[[instance.volumes]]
device-name = "sdb"
virtual-name = "ephemeral0"

[[instance.interfaces]]
device-number = 0
public-ipv4s = ["192.0.2.54", "192.0.2.55"]
local-ipv4s = ["172.31.5.10", "172.31.5.11"]
ipv6s = ["2001:db8:1::17", "2001:db8:1::18"]
ipv4-prefix = ["172.31.5.16/28"]
ipv6-prefix = ["2001:db8:1:1::/80"]

[[instance.interfaces]]
device-number = 1
network-card = 1
local-ipv4s = "172.31.6.10"
"""


class Crawl:
    """Reads every path below a version, over one kept connection."""

    def __init__(self, address, version: str):
        self.connection = Connection(address)
        self.answers: dict[str, str] = {}
        self.listings: dict[str, list[str]] = {}
        self.walk(f"/{version}/meta-data/")
        if self.read(f"/{version}/dynamic/").status == 200:
            self.walk(f"/{version}/dynamic/")
        self.connection.close()

    def read(self, path: str):
        self.connection.send(request_bytes("GET", path, {"Connection": "keep-alive"}))
        return self.connection.answer()

    def walk(self, path: str):
        answer = self.read(path)
        assert answer.status == 200, f"{path} is listed and answers {answer.status}"
        assert not answer.text.endswith("\n") and answer.text, f"{path}: {answer.text[-20:]!r}"
        entries = answer.text.split("\n")
        self.listings[path] = entries
        for entry in entries:
            if "=" in entry and path.endswith("/public-keys/"):
                self.walk(path + entry.split("=")[0] + "/")
            elif entry.endswith("/"):
                self.walk(path + entry)
            else:
                self.leaf(path + entry)

    def leaf(self, path: str):
        answer = self.read(path)
        if "/tag-sets/" not in path and "/openssh-key" not in path:
            assert not answer.text.endswith("\n"), path
        assert answer.status == 200, f"{path} is listed and answers {answer.status}"
        assert answer.body, f"{path} is empty"
        self.answers[path] = answer.text


@pytest.fixture(scope="module", params=["default", "full"])
def daemon(request, serve_module):
    return serve_module(None if request.param == "default" else FULL)


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_listed_answers_and_is_in_order(daemon, version):
    crawl = Crawl(daemon.address, version)
    for path, entries in crawl.listings.items():
        assert entries == sorted(entries, key=lambda entry: entry.encode()), path
        assert len(entries) == len(set(entries)), path


def test_a_full_instance_has_every_category(serve_module):
    crawl = Crawl(serve_module(FULL).address, "latest")
    menu = crawl.listings["/latest/meta-data/"]
    for entry in (
        *("ancestor-ami-ids", "autoscaling/", "ipv6", "kernel-id", "product-codes", "public-hostname", "public-ipv4"),
        *("ramdisk-id", "tags/", "tag-sets/", "public-keys/", "iam/", "identity-credentials/", "system"),
    ):
        assert entry in menu, entry
    assert len(crawl.listings["/latest/meta-data/network/interfaces/macs/"]) == 2
    placement = crawl.listings["/latest/meta-data/placement/"]
    assert placement == ["availability-zone", "availability-zone-id", "group-name", "host-id", "partition-number", "region"]
    assert crawl.listings["/latest/meta-data/public-keys/"] == ["0=first", "1=second"]
    mapping = crawl.listings["/latest/meta-data/block-device-mapping/"]
    assert mapping == ["ami", "ebs1", "ephemeral0", "root"]
    assert crawl.answers["/latest/meta-data/block-device-mapping/ebs1"] == "sdf"
    assert crawl.answers["/latest/meta-data/placement/region"] == "eu-central-1"
    assert crawl.answers["/latest/meta-data/hostname"].endswith(".eu-central-1.compute.internal")


def test_openssh_key_is_the_one_leaf_that_ends_with_a_newline(serve_module):
    crawl = Crawl(serve_module(FULL).address, "latest")
    ends = [path for path, text in crawl.answers.items() if text.endswith("\n")]
    assert ends == ["/latest/meta-data/public-keys/0/openssh-key", "/latest/meta-data/public-keys/1/openssh-key"]


def test_quiet_events_are_empty_arrays_and_spot_is_absent(imds):
    assert imds.meta("events/maintenance/scheduled") == "[]"
    assert imds.meta("events/maintenance/history") == "[]"
    for path in ("spot/instance-action", "spot/termination-time", "events/recommendations/rebalance", "autoscaling/target-lifecycle-state"):
        assert imds.get(f"/latest/meta-data/{path}").status == 404
