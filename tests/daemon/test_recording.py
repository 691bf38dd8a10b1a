"""`record` and `serve --snapshot`: what was recorded is what is served, byte for byte, without a secret in the file."""

import http.server
import ipaddress
import json
import re
import socket
import stat
import threading

import pytest

from conftest import TESTS
from support.daemon import run
from support.expected import VERSIONS

# Everything that can be there is there.
RICH = """
tokens = "required"

[instance]
availability-zone = "eu-west-1b"
account-id = "555566667777"
instance-id = "i-0a1f686fd035ce5bd"
instance-type = "p5.48xlarge"
ami-id = "ami-0fef201115eefe936"
ancestor-ami-ids = ["ami-0123456789abcdef0"]
group-name = "my-group"
host-id = "h-0da999999f9999fb9"
partition-number = 1
product-codes = ["3iplms73etrdhxdepv72l6ywj"]
target-lifecycle-state = "InService"
reservation-id = "r-09a614e5cce558885"
user-data-base64 = "IyEvYmluL3NoCmVjaG8gMTAuMC4xLjIzIDU1NTU2NjY2Nzc3Nwo="

[[instance.interfaces]]
mac = "0e:49:61:0f:c3:11"
device-number = 0
network-card = 0
interface-id = "eni-05abe627ca6978df2"
local-ipv4s = ["10.0.1.23", "10.0.1.24"]
public-ipv4s = ["54.92.157.77", "54.92.157.78"]
ipv4-prefix = ["10.0.1.16/28"]
ipv6-prefix = ["2600:1f18:1:1:1::/80"]
ipv6s = ["2600:1f18:1:1::23", "2600:1f18:1:1::24"]
subnet-id = "subnet-0d0a0b215479ae014"
subnet-ipv4-cidr-block = "10.0.1.0/24"
vpc-id = "vpc-05bcc4ceabe1df195"
vpc-ipv4-cidr-blocks = ["10.0.0.0/16", "10.1.0.0/16"]
security-groups = ["web", "default"]
security-group-ids = ["sg-0acbe6d1132ff8f15", "sg-0acbe6d1132ff8f16"]

[[instance.interfaces]]
mac = "0e:49:61:0f:c3:77"
device-number = 1
network-card = 0
local-ipv4s = "10.1.2.3"
vpc-ipv4-cidr-blocks = ["10.0.0.0/16", "10.1.0.0/16"]
vpc-ipv4-cidr-block = "10.0.0.0/16"

[[instance.interfaces]]
mac = "0e:49:61:0f:c3:99"
device-number = 1
network-card = 1
local-ipv4s = []
local-hostname = ""

[[instance.volumes]]
device-name = "/dev/sdf"

[[instance.volumes]]
device-name = "sdb"
virtual-name = "ephemeral0"

[instance.public-keys]
first = "ssh-ed25519 AAAA first"
second = "ssh-ed25519 BBBB second"

[instance.tags]
Name = "everything"
"env:stage" = "a/b c = d"
"k=v" = "5"

[tree]
"own/deep/leaf" = "with a line end\\n"
"meta-data/empty" = ""
"2009-04-04/meta-data/only-here" = "old"
"meta-data/profile" = false

[roles."team/app"]

[[events]]
kind = "spot"
in = "1m"

[[events]]
kind = "rebalance"

[[events]]
kind = "maintenance"
code = "system-reboot"
not-before = "48h"
"""
ROLE = "/latest/meta-data/iam/security-credentials/app"
IDENTITY = "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance"


def record(binary, source, file, *args, env=None):
    result = run(binary, "record", "--from", source, "-o", str(file), *args, env=env)
    return result


def versions(file) -> dict[str, dict]:
    """Everything in a recording, by version and path, whatever its versions are like."""
    written = json.loads(file.read_text())["versions"]

    def whole(name):
        paths = dict(whole(written[name]["like"])) if "like" in written[name] else {}
        paths.update(written[name]["paths"])
        return {path: value for path, value in paths.items() if value is not None}

    return {name: whole(name) for name in written}


@pytest.fixture(scope="module")
def original(serve_module):
    return serve_module(RICH)


@pytest.fixture(scope="module")
def recorded(original, binary, tmp_path_factory):
    """The recording of a rich instance."""
    file = tmp_path_factory.mktemp("recorded") / "recording.json"
    result = record(binary, original.url, file)
    assert result.returncode == 0, result
    assert "latest: " in result.stderr and "31 versions" in result.stderr
    return file


@pytest.fixture(scope="module")
def replay(recorded, serve_module):
    return serve_module(args=("--snapshot", str(recorded)))


def test_a_replayed_recording_records_as_the_same(recorded, replay, binary, tmp_path):
    again = tmp_path / "again.json"
    assert record(binary, replay.url, again).returncode == 0
    assert versions(again) == versions(recorded)
    assert sorted(versions(recorded)) == sorted(VERSIONS)


def test_every_path_of_every_version_is_answered_alike(original, replay, recorded):
    """Also what the file does not have, such as the contents of listings that lead nowhere."""
    token, other = original.imds.token(), replay.imds.token()
    secret = {"secret": True}
    asked = {"/"}
    for version, paths in versions(recorded).items():
        asked.update(f"/{version}/{path}" for path, value in paths.items() if value != secret)
        asked.update(f"/{version}/{path}/" for path, value in paths.items() if value != secret)
        asked.update((f"/{version}/user-data", f"/{version}/dynamic", f"/{version}/meta-data/profile"))
    assert len(asked) > 3000
    different = []
    for path in sorted(asked):
        want, got = original.imds.get(path, token), replay.imds.get(path, other)
        same = (want.status, want.get("Content-Type"), want.body) == (got.status, got.get("Content-Type"), got.body)
        if not same:
            different.append((path, want, got))
    assert different == []


def test_conditional_entries_are_recorded(recorded):
    latest = versions(recorded)["latest"]
    for path in (
        "user-data",
        "meta-data/spot/instance-action",
        "meta-data/spot/termination-time",
        "meta-data/events/recommendations/rebalance",
        "meta-data/events/maintenance/scheduled",
        "meta-data/autoscaling/target-lifecycle-state",
        "meta-data/placement/host-id",
        "meta-data/public-keys/1/openssh-key",
        "meta-data/network/interfaces/macs/0e:49:61:0f:c3:99/interface-id",
        "meta-data/network/interfaces/macs/0e:49:61:0f:c3:11/ipv4-associations/54.92.157.78",
        "meta-data/tags/instance/k=v",
        "meta-data/tag-sets/instance",
        "meta-data/iam/info",
        "own/deep/leaf",
    ):
        assert path in latest, path
    assert latest["own/deep/leaf"] == "with a line end\n"
    assert "meta-data/only-here" in versions(recorded)["2009-04-04"]


def test_no_secret_is_in_the_file(original, recorded):
    text = recorded.read_text()
    for path in (ROLE, IDENTITY):
        credentials = json.loads(original.imds.text(path))
        for key in ("AccessKeyId", "SecretAccessKey", "Token"):
            assert credentials[key] not in text
    for name in ("signature", "pkcs7", "rsa2048"):
        for line in original.imds.text(f"/latest/dynamic/instance-identity/{name}").split("\n"):
            assert line not in text
    assert versions(recorded)["latest"]["meta-data/iam/security-credentials/app"] == {"secret": True}
    assert stat.S_IMODE(recorded.stat().st_mode) == 0o600


def test_secrets_are_not_even_asked_for(serve, binary, tmp_path):
    daemon = serve(RICH)
    assert record(binary, daemon.url, tmp_path / "r.json", "--versions", "latest").returncode == 0
    daemon.wait_for_log("/latest/meta-data/iam/security-credentials ")
    assert daemon.stop() == 0
    for path in (ROLE, IDENTITY, "/latest/dynamic/instance-identity/pkcs7"):
        assert f"{path} " not in daemon.log


def test_credentials_and_signatures_of_a_replay_are_its_own(original, replay):
    for path in (ROLE, IDENTITY):
        ours, theirs = json.loads(replay.imds.text(path)), json.loads(original.imds.text(path))
        assert ours["Code"] == "Success"
        assert ours["AccessKeyId"] != theirs["AccessKeyId"]
    for name in ("signature", "pkcs7", "rsa2048"):
        path = f"/latest/dynamic/instance-identity/{name}"
        assert replay.imds.text(path) not in ("", original.imds.text(path))


def test_another_role_has_an_iam_of_its_own(recorded, serve):
    imds = serve(f'snapshot = "{recorded}"\n[roles.Other]\n').imds
    assert imds.meta("iam/security-credentials/") == "Other"
    assert json.loads(imds.meta("iam/info"))["InstanceProfileArn"] == "arn:aws:iam::555566667777:instance-profile/Other"
    assert imds.get("/latest/meta-data/iam/security-credentials/app").status == 404
    without = serve(f'snapshot = "{recorded}"\n[callers]\ndefault = false\n').imds
    assert without.get("/latest/meta-data/iam/info").status == 404
    assert "iam/" not in without.meta("").split("\n")


def test_a_relative_snapshot_lies_beside_the_configuration(recorded, serve, tmp_path):
    folder = tmp_path / "beside"
    folder.mkdir()
    (folder / "r.json").write_bytes(recorded.read_bytes())
    assert serve('snapshot = "r.json"\n', folder=folder).imds.meta("instance-id") == "i-0a1f686fd035ce5bd"


def test_run_and_tree_take_a_snapshot(recorded, binary, tmp_path):
    script = "curl -s $AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/instance-id"
    result = run(binary, "run", "--snapshot", recorded.name, "--state-dir", str(tmp_path / "s"), "--", "sh", "-c", script, cwd=recorded.parent)
    assert (result.returncode, result.stdout) == (0, "i-0a1f686fd035ce5bd")
    printed = run(binary, "tree", "--snapshot", str(recorded)).stdout
    assert "/latest/meta-data/instance-id i-0a1f686fd035ce5bd\n" in printed


@pytest.fixture
def changed(recorded, serve, binary):
    """A replaying daemon, and its commands."""
    daemon = serve(f'snapshot = "{recorded}"\n')

    def command(*argv, code=0):
        result = run(binary, *argv, env={"FAKE_METADATA_CONTROL": str(daemon.control)})
        assert result.returncode == code, result
        return result.stdout + result.stderr

    return daemon, command


def test_paths_of_a_replay_are_set_and_unset(changed):
    daemon, command = changed
    command("set", "instance-type", "t3.nano", "own/new", "x")
    assert daemon.imds.meta("instance-type") == "t3.nano"
    assert daemon.imds.text("/2009-04-04/meta-data/own/new") == "x"
    command("unset", "instance-type", "system")
    assert daemon.imds.meta("instance-type") == "p5.48xlarge"
    assert daemon.imds.get("/latest/meta-data/system").status == 404
    assert "system" not in daemon.imds.meta("").split("\n")
    command("unset", "no-such-thing", code=2)


def test_tags_and_user_data_of_a_replay_are_changed(changed):
    daemon, command = changed
    command("tags", "set", "Team", "core")
    command("tags", "unset", "env:stage")
    assert daemon.imds.meta("tags/instance/") == "Name\nTeam\nk=v"
    assert json.loads(daemon.imds.meta("tag-sets/instance")) == {"Name": "everything", "Team": "core", "k=v": "5"}
    assert daemon.imds.text("/2021-03-23/meta-data/tags/instance/Team") == "core"
    assert daemon.imds.get("/2020-10-27/meta-data/tags/instance/Team").status == 404
    command("tags", "unset", "absent", code=2)
    (daemon.folder / "data").write_text("other")
    command("user-data", str(daemon.folder / "data"))
    answer = daemon.imds.get("/2009-04-04/user-data")
    assert (answer.text, answer.get("Content-Type")) == ("other", "application/octet-stream")


def test_events_tokens_and_reload_of_a_replay(changed, recorded, tmp_path):
    daemon, command = changed
    command("event", "maintenance", "--code", "instance-stop", "--not-before", "2h")
    assert "instance-stop" in daemon.imds.meta("events/maintenance/scheduled")
    command("tokens", "required")
    assert daemon.imds.get("/latest/meta-data/mac").status == 401
    command("set", "instance-type", "t3.nano")
    other = tmp_path / "other.json"
    other.write_text(recorded.read_text().replace("i-0a1f686fd035ce5bd", "i-0000000000000000a"))
    daemon.config.write_text(f'snapshot = "{other}"\n')
    command("reload")
    assert daemon.imds.meta("instance-id") == "i-0000000000000000a"
    assert daemon.imds.meta("instance-type") == "t3.nano"
    command("reload", "--reset")
    assert daemon.imds.meta("instance-type") == "p5.48xlarge"
    assert daemon.imds.get("/latest/meta-data/mac").status == 200
    other.write_text("{")
    assert "other.json:1: invalid JSON" in command("reload", code=2)
    assert daemon.imds.meta("instance-id") == "i-0000000000000000a"
    assert f'"snapshot": "{other}"' in command("status", "--json")


def test_what_cannot_be_served_is_refused_with_its_place(binary, recorded, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('\nsnapshot = "absent.json"\n')
    result = run(binary, "check", str(config))
    assert result.returncode == 78
    assert f"{config}:2: snapshot: read {tmp_path}/absent.json: " in result.stderr
    config.write_text(f'snapshot = "{recorded}"\n[instance]\nregion = "eu-west-1"\n')
    result = run(binary, "check", str(config))
    assert result.returncode == 78
    assert f"{config}:3: instance.region: a snapshot is served" in result.stderr
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{\n  "format": "fake-metadata recording 1",\n  "versions": {"latest": {"paths": {\n    "a//b": "1"}}}}')
    result = run(binary, "serve", "--snapshot", str(wrong), "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "s"))
    assert result.returncode == 78
    assert f'option --snapshot {wrong}: snapshot: {wrong}:4: version latest "a//b": write the path' in result.stderr
    config.write_text(f'snapshot = "{recorded}"\n')
    assert run(binary, "check", str(config)).returncode == 0


# --- record ---


def test_versions_are_chosen_and_standard_output_is_possible(original, binary):
    result = run(binary, "record", "--from", original.url, "-o", "-", "--versions", "2009-04-04,latest")
    assert result.returncode == 0, result
    assert sorted(json.loads(result.stdout)["versions"]) == ["2009-04-04", "latest"]
    result = run(binary, "record", "--from", original.url, "-o", "-", "--versions", "2009-04-05")
    assert (result.returncode, result.stdout) == (1, "")
    assert "there is no API version 2009-04-05 (there are 1.0, " in result.stderr


def test_an_instance_without_session_tokens_is_recorded_with_v1(serve, binary, tmp_path, original):
    assert record(binary, serve().url, tmp_path / "r.json", "--v1", "--versions", "latest").returncode == 0
    result = record(binary, original.url, tmp_path / "r.json", "--v1")
    assert result.returncode == 1
    assert "401 Unauthorized (" in result.stderr and "--v1" in result.stderr


def test_a_failed_recording_leaves_the_file_as_it_was(binary, tmp_path):
    file = tmp_path / "r.json"
    file.write_text("before")
    result = record(binary, "http://127.0.0.1:1", file)
    assert result.returncode == 1
    assert "connect to http://127.0.0.1:1: " in result.stderr and "--from" in result.stderr
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_disabled_endpoint_is_said(serve, binary, tmp_path):
    result = record(binary, serve('endpoint = "disabled"\n').url, tmp_path / "r.json")
    assert result.returncode == 1
    assert "403 Forbidden (the metadata endpoint is disabled" in result.stderr


def test_a_service_that_does_not_answer_is_said(binary, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = record(binary, f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path / "r.json")
    assert result.returncode == 1
    assert "no answer within 5s" in result.stderr


def test_a_folder_that_is_not_there_is_said(original, binary, tmp_path):
    result = record(binary, original.url, tmp_path / "absent" / "r.json", "--versions", "latest")
    assert result.returncode == 1
    assert f"write {tmp_path}/absent/r.json: " in result.stderr


class Service:
    """A server that answers GET from a function of the path: (status, type, body)."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                self.reply(200, "text/plain", b"token")

            def do_GET(self):
                self.reply(*answer(self.path))

            def reply(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize(("listing", "message"), [(b"a/", "its folders"), (b"\n".join(b"f%d/" % n for n in range(99)), "no end")])
def test_a_tree_without_end_is_refused(binary, tmp_path, listing, message):
    with Service(lambda path: (200, "text/plain", b"latest" if path == "/" else listing)) as service:
        result = record(binary, service.url, tmp_path / "r.json")
    assert result.returncode == 1
    assert message in result.stderr and "no metadata service" in result.stderr


def test_a_busy_service_is_asked_again(binary, tmp_path, serve):
    """As EC2 may answer when it is asked too much."""
    tries = {}

    def answer(path):
        tries[path] = tries.get(path, 0) + 1
        if tries[path] == 1 and path in ("/", "/latest/meta-data"):
            return 503, "text/plain", b""
        listings = {"/": b"latest", "/latest": b"meta-data", "/latest/meta-data": b"mac", "/latest/meta-data/mac": b"x"}
        return (200, "text/plain", listings[path]) if path in listings else (404, "text/html", b"")

    with Service(answer) as service:
        result = record(binary, service.url, tmp_path / "r.json")
    assert result.returncode == 0, result
    assert serve(args=("--snapshot", str(tmp_path / "r.json"))).imds.meta("mac") == "x"


def test_the_captured_instance_is_recorded_and_replayed(binary, serve, tmp_path):
    """The capture of a real t3.nano, answered row by row."""
    rows = [json.loads(line) for line in (TESTS / "data" / "depth.jsonl").read_text().splitlines()]
    rows = {row["path"]: row for row in rows if row.get("method") == "GET" and row["token"] and row["code"] == 200}
    data = b"\x1f\x8b\xff" * 5

    def answer(path):
        row = rows.get(path) or rows.get(path + "/")
        if not row:
            return 404, "text/html", b""
        return 200, row["content_type"], data if "body_sha256" in row else row["body"].encode()

    file = tmp_path / "t3-nano.json"
    with Service(answer) as service:
        assert record(binary, service.url, file).returncode == 0
    imds = serve(args=("--snapshot", str(file))).imds
    token = imds.token()

    def is_reachable(path):
        """Whether the capture has every folder on the way, so that it can be walked to."""
        names = path.strip("/").split("/")
        ways = ["/" + "/".join(names[:length]) for length in range(2, len(names))]
        return all(way in rows or way + "/" in rows for way in ways)

    reachable = {path: row for path, row in rows.items() if is_reachable(path)}
    assert len(reachable) > 120
    for path, row in reachable.items():
        got = imds.get(path, token)
        want = data if "body_sha256" in row else row["body"].encode()
        assert (got.status, got.get("Content-Type"), got.body) == (200, row["content_type"], want), path
    document = json.loads(rows["/latest/dynamic/instance-identity/document"]["body"])
    assert imds.text("/latest/dynamic/instance-identity/document") == rows["/latest/dynamic/instance-identity/document"]["body"]
    # It had no role.
    assert imds.get("/latest/meta-data/iam/", token).status == 404
    assert document["instanceId"] == imds.meta("instance-id")


# --- anonymised ---


@pytest.fixture(scope="module")
def anonymised(original, binary, tmp_path_factory):
    file = tmp_path_factory.mktemp("anonymised") / "recording.json"
    result = record(binary, original.url, file, "--anonymise")
    assert result.returncode == 0, result
    return file


def test_nothing_of_an_anonymised_instance_is_left(anonymised, original):
    text = anonymised.read_text()
    profile = json.loads(original.imds.meta("iam/info"))["InstanceProfileId"]
    known = re.findall(r'"([a-z]+-[0-9a-f]{17}|[0-9a-f]{2}(?::[0-9a-f]{2}){5}|\d+\.\d+\.\d+\.\d+|2600:[0-9a-f:]+)["/]', RICH)
    assert len(known) > 15
    for name in [*known, "555566667777", profile, "10-0-1-23", "54-92-157-77", "10.0.1.23"]:
        assert name not in text, name


def test_an_anonymised_instance_agrees_with_itself(anonymised, serve):
    imds = serve(args=("--snapshot", str(anonymised))).imds
    document = json.loads(imds.text("/latest/dynamic/instance-identity/document"))
    mac = imds.meta("mac")
    interface = f"network/interfaces/macs/{mac}"
    assert imds.meta("network/interfaces/macs/").split("\n") == sorted(imds.meta("network/interfaces/macs/").split("\n"))
    assert imds.meta(f"{interface}/mac") == mac
    assert document["instanceId"] == imds.meta("instance-id")
    account = document["accountId"]
    assert account == imds.meta(f"{interface}/owner-id")
    assert f":{account}:" in json.loads(imds.meta("iam/info"))["InstanceProfileArn"]
    assert json.loads(imds.meta("identity-credentials/ec2/info"))["AccountId"] == account
    address = imds.meta("local-ipv4")
    assert document["privateIp"] == address == imds.meta(f"{interface}/local-ipv4s").split("\n")[0]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(imds.meta(f"{interface}/subnet-ipv4-cidr-block"))
    vpc = [ipaddress.ip_network(block) for block in imds.meta(f"{interface}/vpc-ipv4-cidr-blocks").split("\n")]
    assert any(ipaddress.ip_address(address) in network for network in vpc)
    assert imds.meta("hostname") == f"ip-{address.replace('.', '-')}.eu-west-1.compute.internal"
    public = imds.meta("public-ipv4")
    assert imds.meta("public-hostname") == f"ec2-{public.replace('.', '-')}.eu-west-1.compute.amazonaws.com"
    assert imds.meta(f"{interface}/ipv4-associations/{public}") == address
    assert imds.text("/latest/user-data") == f"#!/bin/sh\necho {address} {account}\n"
    # The same under every version, and names as they were.
    assert imds.text("/2009-04-04/meta-data/local-ipv4") == address
    assert (imds.meta("iam/security-credentials/"), imds.meta("tags/instance/Name")) == ("app", "everything")


def test_two_anonymised_recordings_are_anonymised_differently(anonymised, original, binary, tmp_path):
    again = tmp_path / "again.json"
    assert record(binary, original.url, again, "--anonymise", "--versions", "latest").returncode == 0
    leaf = "meta-data/instance-id"
    assert versions(again)["latest"][leaf] != versions(anonymised)["latest"][leaf]
