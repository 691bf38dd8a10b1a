"""More unmodified clients on the instance, beside those of test_sdks: each finds the role and signs with it."""

import json
import shutil
import sys

import pytest

from conftest import TESTS
from support.s3 import BUCKET

CLIENTS = TESTS / "clients"


@pytest.fixture(scope="module")
def access_key(instance):
    document = instance.fetch("/latest/meta-data/iam/security-credentials/BaseIAMRole")
    return json.loads(document)["AccessKeyId"]


def last_json(text: str):
    return json.loads(text.strip().splitlines()[-1])


def test_ruby_sdk_signs_with_the_role(instance, s3, access_key):
    seen = last_json(instance.run("ruby", str(CLIENTS / "ruby" / "client.rb"), s3).stdout)
    assert seen == {
        "provider": "Aws::InstanceProfileCredentials",
        "access_key": access_key,
        "buckets": [BUCKET],
        "object": "written by ruby",
        "instance_id": instance.fetch("/latest/meta-data/instance-id"),
    }


def test_javascript_sdk_v2_signs_with_the_role(instance, s3, venv_program, javascript_folder, access_key):
    # Node looks for packages beside the file that imports them.
    script = shutil.copy(CLIENTS / "javascript" / "client-v2.cjs", javascript_folder / "client-v2.cjs")
    seen = last_json(instance.run(venv_program("node"), str(script), s3).stdout)
    assert seen == {
        "provider": "EC2MetadataCredentials",
        "accessKeyId": access_key,
        "buckets": [BUCKET],
        "object": "written by v2",
        "instanceId": instance.fetch("/latest/meta-data/instance-id"),
    }


def test_minio_client_signs_with_the_role(instance, s3, access_key):
    seen = last_json(instance.run(sys.executable, str(CLIENTS / "python" / "minio_client.py"), s3).stdout)
    assert seen == {"access_key": access_key, "buckets": [BUCKET], "object": "written by minio"}


def test_aws_common_runtime_signs_with_the_role(instance, s3, access_key):
    seen = last_json(instance.run(sys.executable, str(CLIENTS / "python" / "awscrt_client.py"), s3).stdout)
    assert seen == {"access_key": access_key, "buckets": [BUCKET]}


def test_php_asyncaws_signs_with_the_role(make_instance, s3_of):
    """Debian's version asks without a token (IMDSv1)."""
    instance = make_instance('tokens = "optional"\n')
    document = json.loads(instance.fetch("/latest/meta-data/iam/security-credentials/BaseIAMRole"))
    seen = last_json(instance.run("php", str(CLIENTS / "php" / "client.php"), s3_of(instance)).stdout)
    assert seen == {"access_key": document["AccessKeyId"], "buckets": [BUCKET]}


def test_rclone_lists_and_copies_with_the_role(instance, s3):
    environment = {
        "RCLONE_CONFIG_IT_TYPE": "s3",
        "RCLONE_CONFIG_IT_PROVIDER": "Other",
        "RCLONE_CONFIG_IT_ENV_AUTH": "true",
        "RCLONE_CONFIG_IT_REGION": "us-east-1",
        "RCLONE_CONFIG_IT_ENDPOINT": s3,
        "RCLONE_CONFIG": str(instance.home / "none.conf"),
    }
    listed = instance.run("rclone", "lsd", "it:", "--retries", "1", env=environment).stdout
    assert listed.split()[-1] == BUCKET


def test_s3cmd_lists_with_the_role(instance, s3):
    host = s3.removeprefix("http://")
    options = ["--no-ssl", f"--host={host}", f"--host-bucket={host}", "--region=us-east-1", "--config=/dev/null"]
    listed = instance.run("s3cmd", *options, "ls").stdout
    assert f"s3://{BUCKET}" in listed


def test_restic_is_let_in_with_the_role(instance, s3):
    """MinIO's Go client: the stand-in has no repository, and says so to whom it knows; others get 403."""
    environment = {"RESTIC_PASSWORD": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    repository = f"s3:{s3}/bucket"
    result = instance.run("restic", "-r", repository, "--no-cache", "cat", "config", env=environment, check=False)
    assert result.returncode != 0 and "key does not exist" in result.stderr, result
    wrong = {**environment, "AWS_ACCESS_KEY_ID": "ASIAWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
    result = instance.run("restic", "-r", repository, "--no-cache", "cat", "config", env=wrong, check=False)
    assert "key does not exist" not in result.stderr, "proof that the check can fail"
