"""boto3 and the AWS CLI, unmodified, take their credentials from the daemon and are the assumed role to STS."""

import json
import sys
from pathlib import Path

import pytest

from support.daemon import clean_environment, run

ARN = "arn:aws:iam::111122223333:role/App"
SESSION = "arn:aws:sts::111122223333:assumed-role/App/i-1234567890abcdef0"


@pytest.fixture(params=["assume-role", "profile"])
def instance(aws, request, tmp_path):
    """The environment of a program on an instance whose role is the assumed one."""
    role = f'[roles.App]\nsource = "assume-role"\nrole-arn = "{ARN}"\n'
    if request.param == "profile":
        aws.config.write_text(f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\n")
        role = '[roles.App]\nsource = "profile"\nprofile = "dev"\n'
    daemon = aws.daemon(role)
    return clean_environment(
        tmp_path, AWS_EC2_METADATA_SERVICE_ENDPOINT=daemon.url, AWS_DEFAULT_REGION="us-east-1"
    )


def test_boto3_is_the_assumed_role(instance, moto):
    script = Path(__file__).parent / "caller_identity.py"
    result = run(Path(sys.executable), str(script), moto.url, env=instance)
    assert result.returncode == 0, result
    assert json.loads(result.stdout) == {"method": "iam-role", "arn": SESSION}


def test_the_aws_cli_is_the_assumed_role(instance, moto):
    program = Path(sys.executable).parent / "aws"
    result = run(program, "--endpoint-url", moto.url, "--output", "json", "sts", "get-caller-identity", env=instance)
    assert result.returncode == 0, result
    assert json.loads(result.stdout)["Arn"] == SESSION
