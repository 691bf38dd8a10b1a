"""No secret in the log at its highest level, nor in what commands show: searched for every one that was used."""

import http.client
import json

from support.daemon import run
from support.roles import ROLE, Aws, command, credentials
from support.wait import until

ARN = "arn:aws:iam::111122223333:role/App"
WEB_IDENTITY = "web-identity-token-that-nobody-may-see"
EXTERNAL_ID = "external-id-that-nobody-may-see"
ARGUMENT = "password-among-the-arguments"
VARIABLE = "password-in-a-variable"


def secrets_of(document: dict) -> set[str]:
    document = document.get("Credentials", document)
    names = ("SecretAccessKey", "Token", "SessionToken")
    return {document[name] for name in names if document.get(name)}


def test_no_secret_is_in_the_log_or_shown(aws, sts, tmp_path):
    (tmp_path / "token").write_text(WEB_IDENTITY)
    (tmp_path / "process.json").write_text(json.dumps(credentials("PROCESS", form="process")))
    (tmp_path / "file.json").write_text(json.dumps(credentials("FILE")))
    aws.config.write_text(
        f"[profile chain]\nrole_arn = {ARN}\nsource_profile = default\n"
        f"[profile pod]\nrole_arn = {ARN}\nweb_identity_token_file = {tmp_path}/token\n"
        f"[profile helper]\ncredential_process = sh -c 'cat {tmp_path}/process.json' helper {ARGUMENT}\n"
    )
    roles = {
        "Assume": f'source = "assume-role"\nrole-arn = "{ARN}"\nexternal-id = "{EXTERNAL_ID}"',
        "Chain": 'source = "profile"\nprofile = "chain"',
        "Session": 'source = "profile"',
        "Plain": 'source = "profile"\nsession = false',
        "Static": 'source = "static"',
        "Pod": 'source = "profile"\nprofile = "pod"',
        "Process": f'source = "process"\ncommand = ["/bin/cat", "{tmp_path}/process.json"]',
        # What fails is told, too.
        "Wrong": f'source = "process"\ncommand = ["/bin/sh", "-c", "cat {tmp_path}/process.json; exit 1", "{ARGUMENT}"]',
        "Line": f'source = "process"\ncommand = "P={VARIABLE} false --with {ARGUMENT}"',
        "Helper": 'source = "profile"\nprofile = "helper"',
        "File": f'source = "file"\nfile = "{tmp_path}/file.json"',
        "Fed": 'source = "fed"',
        "Made": 'source = "generated"',
    }
    tables = "".join(f"[roles.{name}]\n{keys}\n" for name, keys in roles.items())
    networks = "".join(f'"127.0.1.{n}" = "{name}"\n' for n, name in enumerate(roles, 1))
    daemon = aws.daemon(f"[callers.networks]\n{networks}{tables}")
    secrets = {Aws.SECRET, WEB_IDENTITY, EXTERNAL_ID, ARGUMENT, VARIABLE}
    command(daemon, "feed", "Fed", "--file", "-", input=json.dumps(credentials("FED")))
    good = set()
    for _ in range(2):
        for n, name in enumerate(roles, 1):
            document = as_caller(daemon, f"127.0.1.{n}", name)
            secrets |= secrets_of(document)
            good |= {name} if document["Code"] == "Success" else set()
        run(daemon.binary, "role", "refresh", "--control", str(daemon.control))
        sts.status = 500
    assert good >= set(roles) - {"Wrong", "Line"}, good
    secrets |= sts.secrets() | secrets_of(credentials("PROCESS")) | secrets_of(credentials("FED"))
    secrets |= {document_token(daemon)}
    for _ in range(2):
        assert len(secrets) > 12
        shown = [
            run(daemon.binary, *args, "--control", str(daemon.control)).stdout
            for args in (["role", "list"], ["role", "list", "--json"], ["status"], ["status", "--json"])
        ]
        for text in [daemon.log, *shown]:
            assert len(text) > 500
            found = {secret for secret in secrets if secret in text}
            assert not found, [line for line in text.splitlines() if any(secret in line for secret in found)]
        # And once more what is written at the end.
        assert daemon.process.poll() is None
        daemon.signal(1)
        until(lambda: "configuration reloaded" in daemon.log, "the reload")


def document_token(daemon) -> str:
    """A session token of IMDSv2, used."""
    token = daemon.imds.token()
    daemon.imds.get("/latest/meta-data/instance-id", token)
    return token


def as_caller(daemon, source: str, role: str) -> dict:
    """The role's document as a caller at this address is given it."""
    connection = http.client.HTTPConnection(*daemon.address, source_address=(source, 0), timeout=60)
    connection.request("GET", ROLE + role)
    reply = connection.getresponse()
    assert reply.status == 200, role
    return json.loads(reply.read())
