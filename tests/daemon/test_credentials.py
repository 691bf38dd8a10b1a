"""Role credentials: generated ones that are always fresh, and those of a watched file."""

import json
import os
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from support.wait import until

ROLE = "/latest/meta-data/iam/security-credentials/"
KEYS = ["Code", "LastUpdated", "Type", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def moment(text: str) -> datetime:
    assert TIME.fullmatch(text), text
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def now() -> datetime:
    return datetime.now(timezone.utc)


def stamp(after: timedelta) -> str:
    return (now() + after).strftime("%Y-%m-%dT%H:%M:%SZ")


def given(number: int, expires: str | None = None, **more: str) -> dict[str, str]:
    """A credentials document as an operator would write it, told apart by its number."""
    document = {
        "AccessKeyId": f"ASIAFROMTHEFILE{number:05}",
        "SecretAccessKey": f"secret{number:034}",
        "Token": f"token{number}" * 30,
        "Expiration": expires or stamp(timedelta(hours=6)),
    }
    return {**document, **more}


class Watched:
    """A role whose credentials are in a file."""

    def __init__(self, serve, folder: Path, content: str):
        self.file = folder / "credentials.json"
        self.file.write_text(content)
        self.daemon = serve(f'[roles.App]\nsource = "file"\nfile = "{self.file}"\n')
        self.imds = self.daemon.imds

    def served(self) -> dict[str, str]:
        return json.loads(self.imds.text(ROLE + "App"))

    def serves(self, number: int):
        until(lambda: self.served().get("AccessKeyId") == f"ASIAFROMTHEFILE{number:05}", f"document {number} is served")

    def rename_in(self, content: str):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(content)
        os.replace(fresh, self.file)


@pytest.fixture
def watched(serve, tmp_path):
    return Watched(serve, tmp_path, json.dumps(given(1)))


def test_the_default_role_is_base_iam_role(imds):
    assert imds.text(ROLE) == "BaseIAMRole"


def test_generated_credentials_have_ec2s_shape(imds):
    text = imds.text(ROLE + "BaseIAMRole")
    document = json.loads(text)
    assert list(document) == KEYS
    assert text.split("\n")[1] == '  "Code" : "Success",'
    assert document["Code"] == "Success" and document["Type"] == "AWS-HMAC"
    assert re.fullmatch("ASIA[A-Z0-9]{16}", document["AccessKeyId"])
    assert re.fullmatch("[A-Za-z0-9/+]{40}", document["SecretAccessKey"])
    assert document["Token"].startswith("IQoJb3JpZ2luX2Vj") and len(document["Token"]) >= 300


def test_generated_credentials_are_an_hour_or_more_from_expiry_and_not_dated_ahead(imds):
    document = json.loads(imds.text(ROLE + "BaseIAMRole"))
    assert moment(document["Expiration"]) - now() >= timedelta(hours=1)
    assert moment(document["LastUpdated"]) <= now() + timedelta(seconds=1)


def test_generated_credentials_are_the_same_for_every_reader(imds):
    assert len({imds.text(ROLE + "BaseIAMRole") for _ in range(20)}) == 1


def test_every_role_has_its_own_credentials(serve):
    names = {}
    for role in ("One", "Two"):
        imds = serve(f"[roles.{role}]\n").imds
        names[role] = json.loads(imds.text(ROLE + role))["AccessKeyId"]
    assert names["One"] != names["Two"]


def test_the_instances_own_identity_role_has_credentials_too(imds):
    path = "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"
    document = json.loads(imds.text(path))
    assert list(document) == KEYS
    assert document["AccessKeyId"] != json.loads(imds.text(ROLE + "BaseIAMRole"))["AccessKeyId"]


def test_iam_info_names_the_profile(imds):
    document = json.loads(imds.text("/latest/meta-data/iam/info"))
    assert list(document) == ["Code", "LastUpdated", "InstanceProfileArn", "InstanceProfileId"]
    assert document["InstanceProfileArn"].endswith(":instance-profile/BaseIAMRole")
    assert re.fullmatch("AIPA[A-Z0-9]{17}", document["InstanceProfileId"])


def test_a_files_credentials_are_served(watched):
    watched.serves(1)
    served, wanted = watched.served(), given(1)
    assert list(served) == KEYS
    assert {key: served[key] for key in ("SecretAccessKey", "Token")} == {
        key: wanted[key] for key in ("SecretAccessKey", "Token")
    }


def test_the_very_next_answer_after_a_rename_is_the_new_one(watched):
    watched.serves(1)
    for number in range(2, 30):
        watched.rename_in(json.dumps(given(number)))
        assert watched.served()["AccessKeyId"] == f"ASIAFROMTHEFILE{number:05}"


def test_the_very_next_answer_after_writing_in_place_is_the_new_one(watched):
    watched.serves(1)
    for number in range(2, 30):
        watched.file.write_text(json.dumps(given(number)))
        assert watched.served()["AccessKeyId"] == f"ASIAFROMTHEFILE{number:05}"


def test_a_half_written_file_keeps_the_last_good_one_and_is_told(watched):
    watched.serves(1)
    whole = json.dumps(given(2))
    with open(watched.file, "w") as file:
        file.write(whole[:50])
        file.flush()
        assert watched.served()["AccessKeyId"] == "ASIAFROMTHEFILE00001"
        line = watched.daemon.wait_for_log(str(watched.file))
        assert "WARN" in line or "ERROR" in line
        file.write(whole[50:])
    watched.serves(2)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", "not json", json.dumps(given(2, "yesterday")), json.dumps({**given(2), "SecretAccessKey": ""})],
    ids=["empty", "no keys", "a list", "null", "no JSON", "no time", "an empty key"],
)
def test_an_invalid_file_keeps_the_last_good_one_and_is_told(watched, content):
    watched.serves(1)
    watched.rename_in(content)
    assert watched.served()["AccessKeyId"] == "ASIAFROMTHEFILE00001"
    watched.daemon.wait_for_log(str(watched.file))
    watched.rename_in(json.dumps(given(3)))
    watched.serves(3)


def test_a_removed_file_keeps_the_last_good_one(watched):
    watched.serves(1)
    watched.file.unlink()
    assert watched.served()["AccessKeyId"] == "ASIAFROMTHEFILE00001"
    watched.daemon.wait_for_log(str(watched.file))
    watched.file.write_text(json.dumps(given(2)))
    watched.serves(2)


def test_a_file_that_is_missing_at_the_start_is_an_answer_with_a_code(serve, tmp_path):
    file = tmp_path / "later.json"
    daemon = serve(f'[roles.App]\nsource = "file"\nfile = "{file}"\n')
    answer = daemon.imds.get(ROLE + "App")
    assert answer.status == 200
    document = json.loads(answer.text)
    assert document["Code"] != "Success"
    assert list(document) == ["Code", "Message", "LastUpdated"]
    assert "SecretAccessKey" not in answer.text
    file.write_text(json.dumps(given(1)))
    until(lambda: json.loads(daemon.imds.text(ROLE + "App"))["Code"] == "Success", "the file that came later is served")


def test_expired_credentials_are_never_handed_out(serve, tmp_path):
    watched = Watched(serve, tmp_path, json.dumps(given(1, stamp(timedelta(hours=-1)))))
    assert watched.served()["Code"] != "Success"


def test_credentials_that_expire_while_they_are_served_are_not_handed_out_after(serve, tmp_path):
    watched = Watched(serve, tmp_path, json.dumps(given(1, stamp(timedelta(seconds=3)))))
    assert watched.served()["Code"] == "Success"
    until(lambda: watched.served()["Code"] != "Success", "the credentials expire", within=10)


def test_a_symlink_that_is_pointed_elsewhere_is_followed(serve, tmp_path):
    """How Kubernetes updates a mounted secret."""
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "credentials.json").write_text(json.dumps(given(number)))
    (tmp_path / "current").symlink_to("1")
    daemon = serve(f'[roles.App]\nsource = "file"\nfile = "{tmp_path}/current/credentials.json"\n')

    def key():
        return json.loads(daemon.imds.text(ROLE + "App"))["AccessKeyId"]

    until(lambda: key() == "ASIAFROMTHEFILE00001", "the first")
    (tmp_path / "next").symlink_to("2")
    os.replace(tmp_path / "next", tmp_path / "current")
    until(lambda: key() == "ASIAFROMTHEFILE00002", "the second")
