"""Unmodified AWS SDKs on the instance: each finds the role by itself and signs a request to S3 that is accepted."""

import json
import shutil
import sys

import pytest

from conftest import TESTS
from support.s3 import BUCKET

CLIENTS = TESTS / "clients"
# The SDKs resolve a region in different ways; where one needs it said, it is the instance's.
REGION = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def access_key(instance):
    document = instance.fetch("/latest/meta-data/iam/security-credentials/BaseIAMRole")
    return json.loads(document)["AccessKeyId"]


@pytest.fixture(scope="module")
def instance_id(instance):
    return instance.fetch("/latest/meta-data/instance-id")


def last_json(text: str):
    return json.loads(text.strip().splitlines()[-1])


def test_boto3_signs_with_the_role(instance, s3, access_key):
    seen = last_json(instance.run(sys.executable, str(CLIENTS / "python" / "boto3_client.py"), s3).stdout)
    assert seen == {
        "method": "iam-role",
        "access_key": access_key,
        "region": "us-east-1",
        "buckets": [BUCKET],
        "object": "written by boto3",
    }


def test_boto3_finds_the_role_when_tokens_are_optional(make_instance):
    other = make_instance('tokens = "optional"\n')
    script = "import boto3; print(boto3.Session().get_credentials().method)"
    assert other.run(sys.executable, "-c", script).stdout.strip() == "iam-role"


def test_aws_cli_lists_buckets_with_the_role(instance, s3, venv_program):
    aws = venv_program("aws")
    out = instance.run(aws, "--endpoint-url", s3, "s3api", "list-buckets", "--output", "json", env=REGION).stdout
    assert [bucket["Name"] for bucket in json.loads(out)["Buckets"]] == [BUCKET]


def test_aws_cli_copies_a_file_with_the_role(instance, s3, venv_program):
    aws = venv_program("aws")
    source = instance.home / "file"
    source.write_bytes(bytes(range(256)) * 100)
    instance.run(aws, "--endpoint-url", s3, "s3", "cp", str(source), "s3://bucket/file", env=REGION)
    instance.run(aws, "--endpoint-url", s3, "s3api", "get-object", "--bucket", "bucket", "--key", "file", "back", env=REGION)
    assert (instance.home / "back").read_bytes() == source.read_bytes()


def test_aws_cli_says_its_credentials_are_those_of_the_role(instance, venv_program, access_key):
    out = instance.run(venv_program("aws"), "configure", "list", env=REGION).stdout
    row = next(line for line in out.splitlines() if "access_key" in line)
    assert access_key[-4:] in row and "iam-role" in row


def test_javascript_sdk_v3_signs_with_the_role_and_reads_metadata(
    instance, s3, venv_program, javascript_folder, access_key, instance_id
):
    # Node looks for packages beside the file that imports them.
    script = shutil.copy(CLIENTS / "javascript" / "client.mjs", javascript_folder / "client.mjs")
    seen = last_json(instance.run(venv_program("node"), str(script), s3).stdout)
    assert seen["accessKeyId"] == access_key
    assert seen["chain"] == seen["named"] == [BUCKET]
    assert seen["instanceId"] == seen["document"]["instanceId"] == instance_id


def test_rust_aws_config_signs_with_the_role(instance, s3, rust_client, access_key, instance_id):
    lines = instance.run(str(rust_client), s3).stdout.splitlines()
    assert lines == ["region us-east-1", f"access-key-id {access_key}", f"instance-id {instance_id}", f"bucket {BUCKET}"]


def test_go_sdk_v1_signs_with_the_role(instance, s3, go_v1, access_key, instance_id):
    seen = last_json(instance.run(str(go_v1), s3).stdout)
    assert seen["available"] is True
    assert seen["provider"] == "EC2RoleProvider"
    assert seen["accessKeyId"] == access_key
    assert seen["bucket"] == BUCKET
    assert seen["region"] == seen["document"]["region"] == "us-east-1"
    assert seen["instanceId"] == seen["document"]["instanceId"] == instance_id
    assert seen["info"]["Code"] == "Success"


def test_go_sdk_v2_signs_with_the_role(instance, s3, go_v2, access_key, instance_id):
    seen = last_json(instance.run(str(go_v2), s3).stdout)
    assert seen["source"] == "EC2RoleProvider"
    assert seen["accessKeyId"] == access_key
    assert seen["bucket"] == BUCKET
    assert seen["configRegion"] == seen["region"] == seen["document"]["region"] == "us-east-1"
    assert seen["instanceId"] == seen["document"]["instanceId"] == instance_id
    assert seen["info"]["Code"] == "Success"


@pytest.mark.parametrize(
    ("what", "key", "value"),
    [
        ("SignatureDoesNotMatch", "SecretAccessKey", "w" * 40),
        ("InvalidToken", "Token", "IQoJb3JpZ2luX2Vj" + "w" * 400),
        ("InvalidAccessKeyId", "AccessKeyId", "ASIAWRONGWRONGWRONGW"),
    ],
)
def test_the_stand_in_refuses_credentials_that_differ_in_one_part(instance, s3, venv_program, what, key, value):
    document = instance.fetch("/latest/meta-data/iam/security-credentials/BaseIAMRole")
    credentials = {**json.loads(document), key: value}
    environment = {
        **REGION,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["Token"],
    }
    result = instance.run(
        venv_program("aws"), "--endpoint-url", s3, "s3api", "list-buckets", env=environment, check=False
    )
    assert result.returncode != 0
    assert what in result.stderr
