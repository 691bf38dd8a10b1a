"""What the tests of roles share: paths, times, and credentials as others write them."""

from datetime import datetime, timedelta, timezone

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
