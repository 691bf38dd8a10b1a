"""Every source that asks AWS, against moto's server as STS: what a role is given, and what STS was asked for."""

import http.client
import json

import pytest

from support.roles import Aws, command, credentials, identity, served, shown
from support.wait import until

INSTANCE = "i-1234567890abcdef0"
ACCOUNT = "111122223333"
ARN = f"arn:aws:iam::{ACCOUNT}:role/App"


def session_of(role: str, name: str = INSTANCE, account: str = ACCOUNT) -> str:
    """The ARN of a role's session, as STS says it."""
    return f"arn:aws:sts::{account}:assumed-role/{role}/{name}"


def table(**keys) -> str:
    """`[roles.App]` with these keys."""
    lines = (f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in keys.items())
    return "[roles.App]\n" + "\n".join(lines) + "\n"


def test_assume_role_is_that_roles_session_named_after_the_instance(aws, moto, sts):
    daemon = aws.daemon(table(source="assume-role", role_arn=ARN))
    assert identity(daemon, moto) == session_of("App")
    assert sts.actions() == ["AssumeRole"]
    call = sts.last("AssumeRole")
    assert (call["RoleArn"], call["RoleSessionName"], call["KeyId"]) == (ARN, INSTANCE, Aws.KEY)
    assert "ExternalId" not in call and "Policy" not in call


def test_the_session_name_follows_the_configured_instance_id(aws, moto):
    daemon = aws.daemon(table(source="assume-role", role_arn=ARN) + '[instance]\ninstance-id = "i-0fedcba9876543210"\n')
    assert identity(daemon, moto) == session_of("App", "i-0fedcba9876543210")


def test_assume_role_asks_for_what_the_role_says(aws, moto, sts):
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    keys = table(
        source="assume-role",
        role_arn=ARN,
        external_id="theirs/1",
        session_name="web-1",
        duration="2h",
        policy=json.dumps(policy, indent=2),
        policy_arns=["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    )
    daemon = aws.daemon(keys + '[roles.App.tags]\nteam = "core"\nstage = "test"\n')
    assert identity(daemon, moto) == session_of("App", "web-1")
    call = sts.last("AssumeRole")
    assert (call["ExternalId"], call["DurationSeconds"]) == ("theirs/1", "7200")
    assert json.loads(call["Policy"]) == policy
    assert call["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"
    tags = {call[f"Tags.member.{n}.Key"]: call[f"Tags.member.{n}.Value"] for n in (1, 2)}
    assert tags == {"team": "core", "stage": "test"}


@pytest.mark.parametrize(
    ("written", "account", "name"),
    [
        ("App@444455556666", "444455556666", "App"),
        ("App@prod", "111122223333", "App"),
        ("team/App@prod", "111122223333", "team/App"),
        ("App", "777788889999", "App"),
    ],
)
def test_a_role_may_be_named_with_an_account_by_number_or_name(aws, moto, sts, written, account, name):
    accounts = 'default-account = "dev"\n[aws.accounts]\nprod = "111122223333"\ndev = "777788889999"\n'
    daemon = aws.daemon(accounts + table(source="assume-role", role_arn=written))
    assert sts_account(identity(daemon, moto)) == account
    assert sts.last("AssumeRole")["RoleArn"] == f"arn:aws:iam::{account}:role/{name}"


def sts_account(arn: str) -> str:
    return arn.split(":")[4]


def test_the_account_of_a_role_without_one_is_the_instances(aws, moto):
    daemon = aws.daemon(table(source="assume-role", role_arn="App") + '[instance]\naccount-id = "999900001111"\n')
    assert sts_account(identity(daemon, moto)) == "999900001111"


def test_assume_role_by_another_profile(aws, sts, moto):
    aws.keys("hub", key="AKIAOFTHEHUB00000001")
    daemon = aws.daemon(table(source="assume-role", role_arn=ARN, source_profile="hub"))
    identity(daemon, moto)
    assert sts.last("AssumeRole")["KeyId"] == "AKIAOFTHEHUB00000001"


def test_a_profile_with_a_role_is_that_roles_session(aws, moto, sts):
    aws.config.write_text(f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\nexternal_id = theirs\n")
    daemon = aws.daemon(table(source="profile", profile="dev"))
    assert identity(daemon, moto) == session_of("App")
    assert sts.last("AssumeRole")["ExternalId"] == "theirs"


def test_the_profiles_own_session_name_goes_before_the_instance_id(aws, moto):
    aws.config.write_text(
        f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\nrole_session_name = ann\n"
    )
    daemon = aws.daemon(table(source="profile", profile="dev"))
    assert identity(daemon, moto) == session_of("App", "ann")


def test_a_chain_of_profiles_is_followed_to_its_end(aws, moto, sts):
    aws.config.write_text(
        f"[profile hub]\nrole_arn = arn:aws:iam::{ACCOUNT}:role/Hub\nsource_profile = default\n"
        f"[profile dev]\nrole_arn = {ARN}\nsource_profile = hub\n"
    )
    daemon = aws.daemon(table(source="profile", profile="dev"))
    assert identity(daemon, moto) == session_of("App")
    assert sts.actions() == ["AssumeRole", "AssumeRole"]
    first, second = sts.calls
    assert (first["RoleArn"].split("/")[-1], first["KeyId"]) == ("Hub", Aws.KEY)
    assert second["RoleArn"] == ARN and second["KeyId"].startswith("ASIA")


def test_assume_role_by_a_profile_that_assumes_a_role_itself(aws, moto, sts):
    aws.config.write_text(f"[profile hub]\nrole_arn = arn:aws:iam::{ACCOUNT}:role/Hub\nsource_profile = default\n")
    daemon = aws.daemon(table(source="assume-role", role_arn=ARN, source_profile="hub"))
    assert identity(daemon, moto) == session_of("App")
    assert [call["RoleArn"].split("/")[-1] for call in sts.calls] == ["Hub", "App"]


def test_long_lived_keys_of_a_profile_are_exchanged_for_a_session(aws, sts):
    daemon = aws.daemon(table(source="profile"))
    document = served(daemon)
    assert sts.actions() == ["GetSessionToken"]
    assert sts.last("GetSessionToken")["KeyId"] == Aws.KEY
    assert document["AccessKeyId"] != Aws.KEY and document["SecretAccessKey"] != Aws.SECRET
    assert document["Token"]


def test_with_session_false_the_keys_are_handed_out_and_the_log_says_so_once(aws, sts):
    daemon = aws.daemon(table(source="profile", session=False))
    for _ in range(3):
        document = served(daemon)
        assert (document["AccessKeyId"], document["SecretAccessKey"]) == (Aws.KEY, Aws.SECRET)
        assert not document.get("Token")
    assert document["Code"] == "Success" and document["Expiration"]
    assert sts.actions() == []
    daemon.wait_for_log("long-lived")
    said = [line for line in daemon.log.splitlines() if "long-lived" in line]
    assert len(said) == 1, daemon.log


def test_static_keys_come_from_the_credentials_file_alone(aws, sts):
    aws.keys("app")
    daemon = aws.daemon(table(source="static", profile="app"))
    assert served(daemon)["AccessKeyId"] == Aws.KEY
    assert sts.actions() == []


def test_a_credential_process_of_a_profile_is_run(aws, tmp_path):
    program = printer(tmp_path, "PROCESS")
    aws.config.write_text(f"[profile dev]\ncredential_process = {program} --for 'a b'\n")
    daemon = aws.daemon(table(source="profile", profile="dev"))
    assert served(daemon)["AccessKeyId"] == "ASIA000000000PROCESS"
    assert (tmp_path / "arguments").read_text() == "--for\na b\n"


@pytest.mark.parametrize("as_list", [True, False], ids=["list", "line"])
def test_a_process_is_run_and_its_credentials_served(aws, tmp_path, as_list):
    program = printer(tmp_path, "PROCESS")
    command = [str(program), "--for", "a b"] if as_list else f"{program} --for 'a b'"
    daemon = aws.daemon(table(source="process", command=command))
    document = served(daemon)
    assert document["AccessKeyId"] == "ASIA000000000PROCESS"
    assert document["Token"]
    assert (tmp_path / "arguments").read_text() == "--for\na b\n"


def printer(folder, name: str):
    """A program that prints credentials in the credential_process form, and notes its arguments."""
    program = folder / "credentials-of"
    document = json.dumps(credentials(name, form="process"))
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder}/arguments\ncat <<'END'\n{document}\nEND\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo no luck today >&2; exit 3", "3"),
        ("echo not json", "not JSON"),
        ("sleep 60", "1 s"),
        ('echo \'{"Version": 1, "AccessKeyId": "ASIAAAAAAAAAAAAAAAAA"}\'', "SecretAccessKey"),
    ],
    ids=["fails", "garbage", "hangs", "no secret"],
)
def test_a_process_that_fails_is_an_error_document_that_says_why(aws, script, told):
    daemon = aws.daemon(table(source="process", command=["/bin/sh", "-c", script], timeout="1s"))
    document = served(daemon)
    assert list(document) == ["Code", "Message", "LastUpdated"]
    assert document["Code"] != "Success" and told in document["Message"], document


def test_a_web_identity_is_exchanged_for_its_role(aws, moto, sts, tmp_path):
    token = tmp_path / "token"
    token.write_text("the-web-identity-token-of-a-pod")
    aws.config.write_text(f"[profile pod]\nrole_arn = {ARN}\nweb_identity_token_file = {token}\n")
    daemon = aws.daemon(table(source="profile", profile="pod"))
    assert identity(daemon, moto) == session_of("App")
    call = sts.last("AssumeRoleWithWebIdentity")
    assert call["WebIdentityToken"] == "the-web-identity-token-of-a-pod"
    assert "the-web-identity-token-of-a-pod" not in daemon.log


def test_a_change_of_the_aws_files_is_seen_at_the_next_refresh(aws, sts, moto):
    daemon = aws.daemon(table(source="assume-role", role_arn=ARN))
    assert identity(daemon, moto) == session_of("App")
    aws.keys(key="AKIATHENEXTKEY000001")
    command(daemon, "refresh", "App")
    assert sts.last("AssumeRole")["KeyId"] == "AKIATHENEXTKEY000001"


def test_role_use_profile_switches_the_profile_at_once(aws, sts, moto):
    aws.config.write_text(
        "".join(
            f"[profile {name}]\nrole_arn = arn:aws:iam::{ACCOUNT}:role/{name}\nsource_profile = default\n"
            for name in ("dev", "staging")
        )
    )
    daemon = aws.daemon(table(source="profile", profile="dev"))
    assert identity(daemon, moto) == session_of("dev")
    assert command(daemon, "use", "--profile", "staging").startswith("role App by profile staging\nApp: good for ")
    assert identity(daemon, moto) == session_of("staging")
    command(daemon, "use", "--undo")
    assert identity(daemon, moto) == session_of("dev")


def test_two_roles_that_differ_in_a_name_alone_share_no_credentials(aws, sts):
    one = table(source="assume-role", role_arn=ARN, session_name="one")
    two = one.replace("App]", "Two]").replace("one", "two")
    three = one.replace("App]", "Three]") + 'external-id = "abc"\n'
    daemon = aws.daemon(
        '[callers]\ndefault = "App"\n[callers.networks]\n"127.0.0.2" = "Two"\n"127.0.0.3" = "Three"\n' + one + two + three,
    )
    until(lambda: len(sts.calls) == 3, "a call a role")
    keys = {sts_key(daemon, source) for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3")}
    assert len(keys) == 3


def sts_key(daemon, source: str) -> str:
    """The access key that a caller at this address is given."""
    connection = http.client.HTTPConnection(*daemon.address, source_address=(source, 0))
    path = "/latest/meta-data/iam/security-credentials/"
    connection.request("GET", path)
    role = connection.getresponse().read().decode()
    connection.request("GET", path + role)
    return json.loads(connection.getresponse().read())["AccessKeyId"]


def test_the_environment_names_the_aws_files_as_for_every_aws_program(aws, sts, moto):
    aws.config.write_text(f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\n")
    env = {"AWS_CONFIG_FILE": str(aws.config), "AWS_SHARED_CREDENTIALS_FILE": str(aws.credentials)}
    config = f'[aws]\nsts-endpoint = "{sts.url}"\n' + table(source="profile", profile="dev")
    assert identity(aws.serve(config, env=env), moto) == session_of("App")


def test_the_environments_credentials_are_nobodys_role(aws, sts, moto):
    """Only the files count: what the shell that starts the daemon has in its environment is not the role's."""
    env = {"AWS_ACCESS_KEY_ID": "AKIAOFTHESHELL000001", "AWS_SECRET_ACCESS_KEY": "x" * 40, "AWS_PROFILE": "nobody"}
    daemon = aws.daemon(table(source="assume-role", role_arn=ARN), env=env)
    assert identity(daemon, moto) == session_of("App")
    assert sts.last("AssumeRole")["KeyId"] == Aws.KEY


def test_the_role_of_the_instance_itself_is_refused_as_it_would_be_this_service(aws, sts):
    aws.config.write_text(f"[profile dev]\nrole_arn = {ARN}\ncredential_source = Ec2InstanceMetadata\n")
    daemon = aws.daemon(table(source="profile", profile="dev"))
    document = served(daemon)
    assert document["Code"] != "Success"
    assert "Ec2InstanceMetadata" in document["Message"] and "upstream" in document["Message"]
    assert sts.actions() == []


def test_with_an_upstream_the_role_of_the_instance_is_the_one_behind_it(aws, sts, moto):
    upstream = aws.serve('tokens = "required"\n[roles.Machine]\n')
    machine = served(upstream, "Machine")
    aws.config.write_text(f"[profile dev]\nrole_arn = {ARN}\ncredential_source = Ec2InstanceMetadata\n")
    daemon = aws.daemon(table(source="profile", profile="dev"), before=f'upstream = "{upstream.url}"\n')
    assert identity(daemon, moto) == session_of("App")
    assert sts.last("AssumeRole")["KeyId"] == machine["AccessKeyId"]


def test_a_profile_that_asks_for_an_mfa_code_waits_for_a_person_at_once(aws, sts):
    aws.config.write_text(
        f"[profile dev]\nrole_arn = {ARN}\nsource_profile = default\nmfa_serial = arn:aws:iam::{ACCOUNT}:mfa/ann\n"
    )
    daemon = aws.daemon(table(source="profile", profile="dev"))
    assert served(daemon)["Code"] != "Success"
    status = shown(daemon)
    assert status["needs-person"] is True
    assert "fake-metadata role feed App --profile dev" in status["last-error"]
    daemon.wait_for_log("fake-metadata role feed App --profile dev")
    assert sts.actions() == []
