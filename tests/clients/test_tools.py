"""Unmodified command-line tools and libraries on the instance that read metadata and nothing else."""

import json
import sys

import pytest

from conftest import TESTS

CLIENTS = TESTS / "clients"
URL = "http://169.254.169.254"
CONFIG = """
[instance]
user-data = "#!/bin/sh\\necho ready\\n"
instance-metadata-tags = "enabled"
[instance.tags]
Name = "front-1"
stage = "test"
"""


@pytest.fixture(scope="module")
def optional(make_instance):
    """An instance on which IMDSv1 works as well."""
    return make_instance('tokens = "optional"\n' + CONFIG)


@pytest.fixture(scope="module")
def required(make_instance):
    return make_instance('tokens = "required"\n' + CONFIG)


def test_curl_reads_with_imds_v1(optional):
    assert optional.run("curl", "-sSf", f"{URL}/latest/meta-data/instance-id").stdout.startswith("i-")


def test_curl_reads_with_imds_v2(required):
    assert required.fetch("/latest/meta-data/instance-id").startswith("i-")


def test_curl_without_a_token_is_refused_where_tokens_are_required(required):
    result = required.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{URL}/latest/meta-data/")
    assert result.stdout == "401"


def test_a_request_that_came_through_a_proxy_gets_no_token(required):
    headers = ["-H", "X-aws-ec2-metadata-token-ttl-seconds: 60", "-H", "X-Forwarded-For: 192.0.2.1"]
    result = required.run("curl", "-sS", "-w", "%{http_code}", "-X", "PUT", *headers, f"{URL}/latest/api/token")
    assert result.stdout == "403"


def test_wget_reads_with_imds_v1_over_its_kept_connection(optional):
    paths = [f"{URL}/latest/meta-data/{leaf}" for leaf in ("instance-id", "instance-type", "local-ipv4")]
    lines = optional.run("wget", "-q", "-O", "-", *paths).stdout
    assert lines == "".join(optional.fetch(path.removeprefix(URL)) for path in paths)


def test_wget_reads_with_imds_v2(required):
    ttl = "--header=X-aws-ec2-metadata-token-ttl-seconds: 60"
    token = required.run("wget", "-q", "-O", "-", "--method=PUT", ttl, f"{URL}/latest/api/token").stdout
    header = f"--header=X-aws-ec2-metadata-token: {token}"
    found = required.run("wget", "-q", "-O", "-", header, f"{URL}/latest/meta-data/instance-id").stdout
    assert found == required.fetch("/latest/meta-data/instance-id")


def test_python_urllib_reads_with_imds_v2(required):
    found = required.run("/usr/bin/python3", str(CLIENTS / "python" / "urllib_client.py")).stdout.strip()
    assert found == required.fetch("/latest/meta-data/instance-id")


def test_ec2_metadata_of_pypi_reads_every_attribute(required):
    seen = json.loads(required.run(sys.executable, str(CLIENTS / "python" / "ec2_metadata_client.py")).stdout)
    document = json.loads(required.fetch("/latest/dynamic/instance-identity/document"))
    assert seen["instance_id"] == document["instanceId"]
    assert seen["region"] == document["region"]
    assert seen["account_id"] == document["accountId"]
    assert seen["availability_zone"] == document["availabilityZone"]
    assert seen["private_ipv4"] == document["privateIp"]
    assert seen["private_hostname"] == required.fetch("/latest/meta-data/local-hostname")
    assert seen["user_data"] == "#!/bin/sh\necho ready\n"
    assert seen["tags"] == {"Name": "front-1", "stage": "test"}
    assert seen["iam_info"]["InstanceProfileArn"].startswith(f"arn:aws:iam::{document['accountId']}:instance-profile/")
    assert seen["spot_instance_action"] is None
    mac = required.fetch("/latest/meta-data/mac")
    assert seen["network_interfaces"][mac]["private_ipv4s"] == [document["privateIp"]]


def test_ec2metadata_of_cloud_guest_utils_prints_every_line(required):
    """It probes with a connection that sends nothing, and reads the 2009-04-04 tree with a token."""
    lines = dict(line.split(": ", 1) for line in required.run("ec2metadata").stdout.splitlines() if ": " in line)
    document = json.loads(required.fetch("/latest/dynamic/instance-identity/document"))
    assert lines["ami-id"] == document["imageId"]
    assert lines["instance-id"] == document["instanceId"]
    assert lines["instance-type"] == document["instanceType"]
    assert lines["availability-zone"] == document["availabilityZone"]
    assert lines["local-ipv4"] == document["privateIp"]
    assert lines["user-data"] == repr(b"#!/bin/sh\necho ready\n")
    assert lines["ramdisk-id"] == "unavailable"


def test_ec2metadata_prints_one_value_when_asked_for_one(required):
    out = required.run("ec2metadata", "--instance-id").stdout
    assert out == required.fetch("/latest/meta-data/instance-id") + "\n"
