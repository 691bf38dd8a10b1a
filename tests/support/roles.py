"""What the tests of roles share: paths, times, and credentials as others write them."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3

from .daemon import run

ROLE = "/latest/meta-data/iam/security-credentials/"


def stamp(seconds: float) -> str:
    """The time so many seconds from now, as AWS writes it."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def credentials(name: str, expires: str | None = None, form: str = "metadata") -> dict:
    """Credentials told apart by their name, in one of the forms that programs write."""
    expires = expires or stamp(6 * 3600)
    key, secret, token = f"ASIA{name:0>16}", f"secretof{name}/{name:=>31}", f"tokenof{name}" * 20
    keys = {"AccessKeyId": key, "SecretAccessKey": secret}
    if form == "process":
        return {"Version": 1, **keys, "SessionToken": token, "Expiration": expires}
    if form == "sts":
        return {"Credentials": {**keys, "SessionToken": token, "Expiration": expires}}
    return {"Code": "Success", "Type": "AWS-HMAC", **keys, "Token": token, "Expiration": expires}


class Aws:
    """AWS files with long-lived keys in the profile `default`, and daemons whose roles use them."""

    KEY = "AKIALONGLIVEDKEYSOF1"
    SECRET = "long/lived+secret0000000000000000000000a"

    def __init__(self, folder: Path, sts, serve):
        folder.mkdir()
        self.folder, self.sts, self.serve = folder, sts, serve
        self.config = folder / "config"
        self.credentials = folder / "credentials"
        self.config.write_text("")
        self.keys()

    def keys(self, profile: str = "default", key: str = KEY, secret: str = SECRET):
        """Writes the credentials file with one profile."""
        self.credentials.write_text(f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")

    def daemon(self, roles: str, before: str = "", **options):
        """A daemon that serves these tables of roles, at the level of the log that tells most. `before`: keys of no table."""
        return self.serve(before + self.tables() + roles, **{"args": ("--log-level", "trace"), **options})

    def tables(self) -> str:
        return (
            f'[aws]\nconfig-file = "{self.config}"\ncredentials-file = "{self.credentials}"\n'
            f'sts-endpoint = "{self.sts.url}"\n'
        )


def command(daemon, *args: str, code: int = 0, **more) -> str:
    """Runs `fake-metadata role` on this daemon; what it printed, or its error where it is to fail."""
    env = {"FAKE_METADATA_CONTROL": str(daemon.control), **more.pop("env", {})}
    result = run(daemon.binary, "role", *args, env=env, **more)
    assert result.returncode == code, result
    return result.stderr if code else result.stdout


def shown(daemon, name: str = "App") -> dict:
    """What `role show` knows of a role."""
    return json.loads(command(daemon, "show", name, "--json"))


def served(daemon, role: str = "App") -> dict:
    """The role's document as a client reads it."""
    return json.loads(daemon.imds.text(ROLE + role))


def identity(daemon, moto, role: str = "App") -> str:
    """The ARN that moto's STS sees behind what the daemon hands out."""
    document = served(daemon, role)
    assert document["Code"] == "Success", document
    client = boto3.client(
        "sts",
        endpoint_url=moto.url,
        region_name="us-east-1",
        aws_access_key_id=document["AccessKeyId"],
        aws_secret_access_key=document["SecretAccessKey"],
        aws_session_token=document.get("Token"),
    )
    return client.get_caller_identity()["Arn"]
