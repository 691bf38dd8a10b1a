"""The commands beside `serve`: run, get, tree."""

import json
import os
import signal
import subprocess
import sys

import pytest

from support.daemon import clean_environment, run
from support.wire import Connection

READ = (
    "import os, urllib.request as u; "
    "print(u.urlopen(os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT'] + '/latest/meta-data/instance-id').read().decode())"
)


@pytest.fixture
def fake_metadata(binary, tmp_path):
    """Runs a command of the program with a state folder of its own."""

    def call(*args: str, **options):
        options["env"] = {"FAKE_METADATA_STATE_DIR": str(tmp_path / "state"), **options.get("env", {})}
        return run(binary, *args, cwd=tmp_path, **options)

    return call


def test_run_serves_while_its_command_runs(fake_metadata):
    result = fake_metadata("run", "--", sys.executable, "-c", READ)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("i-")


@pytest.mark.parametrize("code", [0, 1, 3, 42, 78, 255])
def test_run_passes_the_exit_code_on(fake_metadata, code):
    assert fake_metadata("run", "--", "sh", "-c", f"exit {code}").returncode == code


def test_run_says_128_and_the_number_when_a_signal_ended_its_command(fake_metadata):
    assert fake_metadata("run", "--", "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_run_passes_output_and_input_through_untouched(fake_metadata):
    result = fake_metadata("run", "--", "sh", "-c", "cat; echo err >&2", input="some input")
    assert (result.stdout, result.stderr) == ("some input", "err\n")


def test_run_takes_the_variables_away_that_name_other_credentials(fake_metadata):
    conflicting = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "x",
        "AWS_PROFILE": "x",
        "AWS_ROLE_ARN": "x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "x",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "x",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "x",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://192.0.2.1",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6",
    }
    out = fake_metadata("run", "--", "env", env={**conflicting, "AWS_REGION": "eu-west-1"}).stdout
    seen = dict(line.split("=", 1) for line in out.splitlines() if line.startswith("AWS_"))
    assert seen["AWS_REGION"] == "eu-west-1"
    assert seen["AWS_EC2_METADATA_SERVICE_ENDPOINT"].startswith("http://127.0.0.1:")
    assert [name for name in conflicting if name in seen and name != "AWS_EC2_METADATA_SERVICE_ENDPOINT"] == []


def test_run_gives_boto3_the_role_whatever_the_users_own_files_say(fake_metadata, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = AKIAMINE\naws_secret_access_key = mine\n")
    script = "import boto3; c = boto3.Session().get_credentials(); print(c.method, c.access_key)"
    result = fake_metadata("run", "--", sys.executable, "-c", script, env={"HOME": str(tmp_path)})
    assert result.stdout.startswith("iam-role ASIA"), result


def test_run_is_asked_directly_where_a_proxy_is_set(fake_metadata):
    """Botocore and curl ask a proxy even for 127.0.0.1, and this one does not exist."""
    proxies = {name: "http://127.0.0.1:1" for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY")}
    curl = 'curl -s -o /dev/null -w %{http_code} "$AWS_EC2_METADATA_SERVICE_ENDPOINT/"'
    boto = "import boto3; print(boto3.Session().get_credentials().method)"
    for lists in ({}, {"NO_PROXY": "example.test"}, {"no_proxy": "example.test"}, {"NO_PROXY": "*"}):
        assert fake_metadata("run", "--", "sh", "-c", curl, env={**proxies, **lists}).stdout == "200"
        result = fake_metadata("run", "--", sys.executable, "-c", boto, env={**proxies, **lists})
        assert result.stdout == "iam-role\n", result


def test_run_keeps_what_is_asked_without_a_proxy(fake_metadata):
    def lists(**env):
        lines = fake_metadata("run", "--", "env", env=env).stdout.splitlines()
        return {k: v for k, v in (line.split("=", 1) for line in lines) if k.lower() == "no_proxy"}

    assert lists() == {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    assert set(lists(NO_PROXY="a.test,b.test").values()) == {"a.test,b.test,127.0.0.1"}
    assert lists(NO_PROXY="a.test", no_proxy="b.test") == {"NO_PROXY": "a.test,127.0.0.1", "no_proxy": "b.test,127.0.0.1"}
    assert set(lists(no_proxy="*").values()) == {"*"}


def test_commands_within_run_steer_its_service_and_no_other_daemon(fake_metadata, binary, serve):
    other = serve()
    script = f"""set -e
    {binary} tokens required; {binary} event rebalance; {binary} fault add status 503 --times 1; {binary} set mine 1
    {binary} status --json; ls -ld $(dirname "$FAKE_METADATA_CONTROL"); echo "$FAKE_METADATA_CONTROL" >&2"""
    result = fake_metadata("run", "--", "sh", "-c", script, env={"FAKE_METADATA_CONTROL": str(other.control)})
    assert result.returncode == 0, result
    for words in ('"what": "meta-data/mine = 1"', '"what": "tokens required"', '"kind": "rebalance"', '"status-1"'):
        assert words in result.stdout, words
    assert "\ndrwx------ " in result.stdout
    assert not os.path.exists(os.path.dirname(result.stderr.strip())), "the socket goes with the command"
    untouched = json.loads(run(binary, "status", "--json", env={"FAKE_METADATA_CONTROL": str(other.control)}).stdout)
    assert [untouched[key] for key in ("changes", "events", "faults", "tokens")] == [[], [], [], "optional"]


def test_run_frees_its_port_with_its_command(fake_metadata):
    url = fake_metadata("run", "--", "sh", "-c", "echo $AWS_EC2_METADATA_SERVICE_ENDPOINT").stdout.strip()
    with pytest.raises(ConnectionRefusedError):
        Connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))


def test_two_runs_at_once_have_their_own_ports(binary, tmp_path):
    urls = []
    processes = []
    for number in range(2):
        process = subprocess.Popen(
            [binary, "run", "--", "sh", "-c", "echo $AWS_EC2_METADATA_SERVICE_ENDPOINT; read _"],
            env=clean_environment(tmp_path, FAKE_METADATA_STATE_DIR=str(tmp_path / "state")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        urls.append(process.stdout.readline())
    for process in processes:
        process.communicate("\n", timeout=10)
    assert urls[0] != urls[1]


@pytest.mark.parametrize("command, code", [("no-such-command-here", 127), ("/nonexistent", 127), ("/etc/passwd", 126)])
def test_run_says_that_its_command_cannot_be_run_as_a_shell_does(fake_metadata, command, code):
    result = fake_metadata("run", "--", command)
    assert result.returncode == code
    assert result.stderr.startswith(f"fake-metadata: run {command}: ")


@pytest.mark.parametrize("name", ["FAKE_METADATA_CONFIG", "FAKE_METADATA_STATE_DIR", "FAKE_METADATA_TOKENS"])
def test_an_empty_variable_counts_as_unset(fake_metadata, tmp_path, name):
    result = fake_metadata("run", "--", sys.executable, "-c", READ, env={"XDG_STATE_HOME": str(tmp_path), name: ""})
    assert (result.returncode, result.stderr) == (0, "")


def test_run_passes_a_termination_on_and_ends_with_its_command(binary, tmp_path):
    process = subprocess.Popen(
        [binary, "run", "--", "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do read _ || sleep 0.1; done"],
        env=clean_environment(tmp_path, FAKE_METADATA_STATE_DIR=str(tmp_path / "state")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(10) == 7
    process.stdout.close()


def test_run_takes_a_configuration(fake_metadata, tmp_path):
    (tmp_path / "c.toml").write_text('tokens = "required"\n[instance]\ninstance-id = "i-0123456789abcdef0"\n')
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
    script = " ".join(command) + " $AWS_EC2_METADATA_SERVICE_ENDPOINT/"
    assert fake_metadata("run", "--config", "c.toml", "--", "sh", "-c", script).stdout == "401"


def test_get_reads_a_path_as_an_imds_v2_client(serve, binary):
    daemon = serve('tokens = "required"\n[instance]\nuser-data = "some\\ndata"\n')
    for path in ("instance-id", "meta-data/instance-id", "/latest/meta-data/instance-id", "latest/meta-data/instance-id"):
        result = run(binary, "get", path, "--endpoint", daemon.url)
        assert (result.returncode, result.stdout) == (0, daemon.imds.meta("instance-id"))
    assert run(binary, "get", "user-data", "--endpoint", daemon.url).stdout == "some\ndata"
    assert run(binary, "get", "--endpoint", daemon.url + "/").stdout.startswith("ami-id\n")
    daemon.wait_for_log("/latest/api/token")


def test_get_asks_the_metadata_address_itself(make_instance, binary):
    instance = make_instance('tokens = "required"\n')
    found = instance.run(str(binary), "get", "instance-id").stdout
    assert found == instance.fetch("/latest/meta-data/instance-id")


def test_get_takes_the_endpoint_that_sdks_take(serve, binary):
    daemon = serve()
    result = run(binary, "get", "instance-id", env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": daemon.url})
    assert result.stdout == daemon.imds.meta("instance-id")


def test_get_takes_an_empty_endpoint_for_none(make_instance, binary):
    instance = make_instance()
    found = instance.run("env", "AWS_EC2_METADATA_SERVICE_ENDPOINT=", str(binary), "get", "instance-id").stdout
    assert found == instance.fetch("/latest/meta-data/instance-id")


def test_get_fails_when_its_output_cannot_be_written(serve, binary):
    daemon = serve()
    for path in ("instance-id", ""):
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [binary, "get", path, "--endpoint", daemon.url], stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert result.returncode == 1
        assert result.stderr.startswith("fake-metadata: write to standard output: ")


def test_get_says_what_is_not_there_and_fails(serve, binary):
    daemon = serve()
    result = run(binary, "get", "no-such-thing", "--endpoint", daemon.url)
    assert (result.returncode, result.stdout) == (1, "")
    assert "no-such-thing" in result.stderr and "404" in result.stderr


def test_get_says_that_nobody_answers(binary):
    result = run(binary, "get", "instance-id", "--endpoint", "http://127.0.0.1:1")
    assert result.returncode == 1
    assert "127.0.0.1:1" in result.stderr


def test_tree_prints_every_path_and_value_of_the_daemon(serve, binary, tmp_path):
    """Whatever a client can crawl is in it, and the other way round."""
    text = '[instance]\ninstance-id = "i-0123456789abcdef0"\npending-time = "2026-01-02T03:04:05Z"\nuser-data = "hello"\n'
    daemon = serve(text)
    lines = run(binary, "tree", "--config", str(daemon.config)).stdout.splitlines()
    printed = dict(line.split(" ", 1) for line in lines)
    assert printed["/latest/meta-data/instance-id"] == "i-0123456789abcdef0"
    assert printed["/latest/user-data"] == "hello"
    paths = set()

    def crawl(path: str):
        for entry in daemon.imds.text(path).split("\n"):
            if "=" in entry and path.endswith("/public-keys/"):
                crawl(path + entry.split("=")[0] + "/")
            elif entry.endswith("/"):
                crawl(path + entry)
            else:
                paths.add(path + entry)

    crawl("/latest/meta-data/")
    crawl("/latest/dynamic/")
    assert paths | {"/latest/user-data"} == set(printed)
    for path in paths:
        value = daemon.imds.text(path)
        if not printed[path].startswith(("(", '"')) and "LastUpdated" not in value:
            assert printed[path] == value


def test_tree_prints_another_version(binary):
    lines = run(binary, "tree", "--api-version", "2009-04-04").stdout.splitlines()
    assert any(line.startswith("/2009-04-04/meta-data/instance-id i-") for line in lines)
    assert not any("/tags/" in line or "/network/" in line for line in lines)


def test_tree_prints_no_secret(binary):
    text = run(binary, "tree").stdout
    assert "SecretAccessKey" not in text and "IQoJb3JpZ2luX2Vj" not in text


def test_tree_refuses_an_unknown_version_and_names_the_known(binary):
    result = run(binary, "tree", "--api-version", "2009-04-05")
    assert result.returncode != 0
    assert "2009-04-04" in result.stderr


def test_identity_certificate_prints_pem(binary, tmp_path):
    result = run(binary, "identity", "certificate", "--state-dir", str(tmp_path / "state"))
    assert result.stdout.startswith("-----BEGIN CERTIFICATE-----\n")
    assert result.stdout.endswith("-----END CERTIFICATE-----\n")
    assert "PRIVATE KEY" not in result.stdout


def test_a_closed_standard_output_is_no_panic(binary, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [binary, "tree"], stdout=writer, stderr=subprocess.PIPE, text=True, env=clean_environment(tmp_path)
    )
    os.close(writer)
    _, err = process.communicate(timeout=20)
    assert "panicked" not in err




def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "--json"),
        ("event", "list"),
        ("event", "rebalance"),
        ("fault", "list", "--json"),
        ("set", "mine", "x"),
        ("role", "list"),
        ("role", "show", "BaseIAMRole"),
        ("role", "refresh"),
        ("reload",),
        ("identity", "certificate"),
        ("generate", "bash"),
        ("generate", "man"),
        ("record", "--output", "-"),
    ],
    ids=" ".join,
)
def test_a_reader_that_has_seen_enough_ends_a_command_quietly(binary, serve, tmp_path, words):
    daemon = serve("")
    # The certificate's command has no --control, and record reads by HTTP.
    more = ("--from", daemon.url) if words[0] == "record" else ()
    env = clean_environment(tmp_path, FAKE_METADATA_CONTROL=str(daemon.control), FAKE_METADATA_STATE_DIR=str(daemon.state))
    done = subprocess.run([binary, *words, *more], stdout=closed_pipe(), stderr=subprocess.PIPE, env=env, text=True, timeout=60)
    said = "" if words[0] != "record" else done.stderr
    assert (done.returncode, done.stderr) == (0, said)
    assert "panicked" not in done.stderr
    if words[0] == "set":
        assert daemon.imds.text("/latest/meta-data/mine") == "x"


def test_a_recording_is_finished_though_nobody_reads_what_is_said_of_it(binary, serve, tmp_path):
    daemon = serve("")
    file = tmp_path / "recorded.json"
    ends = {"stdout": closed_pipe(), "stderr": closed_pipe()}
    done = subprocess.run([binary, "record", "--from", daemon.url, "--output", file], **ends, env=clean_environment(tmp_path), timeout=60)
    assert done.returncode == 0
    assert "instance-id" in file.read_text()


@pytest.mark.parametrize(("words", "code"), [(("event", "list"), 1), (("event", "listen"), 2)])
def test_an_error_that_nobody_reads_is_still_the_exit_code(binary, tmp_path, words, code):
    env = clean_environment(tmp_path, FAKE_METADATA_CONTROL=str(tmp_path / "none"))
    assert subprocess.run([binary, *words], stderr=closed_pipe(), env=env, timeout=60).returncode == code
