"""What is passed on and what is not, in both directions."""

import json
import subprocess
import threading
import time

import pytest

from support.daemon import Background, run
from support.expected import PAGE_404, VERSIONS
from support.upstream import StandInUpstream, reply
from support.wait import until
from support.wire import TTL_HEADER, Closed, Connection, exchange, request_bytes

ID = "/latest/meta-data/instance-id"
THERE = """
tokens = "required"
[instance]
instance-id = "i-0000000000000aaaa"
region = "eu-west-1"
user-data-base64 = "AAEC/w=="
[instance.tags]
Name = "there"
[roles.HostRole]
"""
HERE = """
upstream = "{url}"
[instance]
instance-id = "i-0000000000000bbbb"
account-id = "222222222222"
[roles.One]
[roles.Two]
instance-profile-name = "team/two"
[callers]
default = false
[callers.networks]
"127.0.0.1" = "One"
"127.0.0.2" = "Two"
"""


@pytest.fixture(scope="module")
def upstream(serve_module):
    return serve_module(THERE)


@pytest.fixture(scope="module")
def daemon(serve_module, upstream):
    return serve_module(HERE.format(url=upstream.url))


def asked_from(daemon, source: str, path: str):
    """A reply to a caller with another address of this host."""
    with Connection(daemon.address, source=source) as connection:
        connection.send(request_bytes("GET", path))
        return connection.answer()


def test_everything_but_roles_is_the_upstreams(daemon):
    imds = daemon.imds
    assert imds.text(ID) == "i-0000000000000aaaa"
    assert imds.get(ID).text == "i-0000000000000aaaa"
    assert imds.text("/latest/meta-data/placement/region/") == "eu-west-1"
    assert imds.text("/latest/meta-data/tags/instance/Name") == "there"
    assert imds.text("/").split() == VERSIONS
    assert json.loads(imds.text("/latest/dynamic/instance-identity/document"))["instanceId"] == "i-0000000000000aaaa"
    data = imds.get("/latest/user-data")
    assert data.body == b"\x00\x01\x02\xff" and data.get("Content-Type") == "application/octet-stream"
    missing = imds.get("/latest/meta-data/nothing")
    assert (missing.status, missing.text) == (404, PAGE_404)


def test_signatures_are_those_over_the_upstreams_document(daemon, upstream):
    for leaf in ("signature", "pkcs7", "rsa2048"):
        path = f"/latest/dynamic/instance-identity/{leaf}"
        # First there: its key may still be being made, which takes longer than a proxy waits.
        signature = upstream.imds.text(path)
        assert daemon.imds.text(path) == signature


@pytest.mark.parametrize("path", [ID, "/latest/meta-data/", "/latest/user-data", "/nothing"])
def test_a_head_is_a_get_without_its_body(daemon, path):
    get, head = daemon.imds.get(path), daemon.imds.get(path, method="HEAD")
    assert head.status == get.status and head.body == b""
    assert head.names == get.names
    assert head.get("Content-Length") == str(len(get.body))


def test_options_are_passed_on(daemon):
    answer = daemon.imds.get(ID, method="OPTIONS")
    assert (answer.status, answer.get("Allow")) == (200, "OPTIONS, GET, HEAD")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_nothing_but_reading_is_passed_on(daemon, upstream, method):
    before = upstream.log.count("/nowhere-else")
    assert exchange(daemon.address, method, "/latest/nowhere-else").status == 403
    assert upstream.log.count("/nowhere-else") == before


def test_many_requests_on_one_connection_here_and_there(daemon, upstream):
    with Connection(daemon.address) as connection:
        for _ in range(50):
            connection.send(request_bytes("GET", ID, {"Connection": "keep-alive"}))
            answer = connection.answer()
            assert answer.text == "i-0000000000000aaaa" and answer.get("Connection") is None

    def ports() -> set[str]:
        lines = [line for line in upstream.log.splitlines() if f" GET {ID} 200 " in line]
        return {line.split(" GET ")[0].rsplit(":", 1)[1] for line in lines[-50:]} if len(lines) >= 50 else set()

    assert len(until(ports, "the upstream has logged them")) == 1


# --- roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "role"), [("127.0.0.1", "One"), ("127.0.0.2", "Two"), ("127.0.0.3", None)])
def test_each_caller_has_its_own_role_or_none(daemon, source, role):
    menu = asked_from(daemon, source, "/latest/meta-data/").text.split("\n")
    assert menu == sorted(menu) and ("iam/" in menu) == (role is not None)
    assert "instance-id" in menu
    listed = asked_from(daemon, source, "/latest/meta-data/iam/security-credentials/")
    if role is None:
        assert listed.status == 404
        assert asked_from(daemon, source, "/latest/meta-data/iam").status == 404
        return
    assert listed.text == role
    info = json.loads(asked_from(daemon, source, "/latest/meta-data/iam/info").text)
    profile = {"One": "One", "Two": "team/two"}[role]
    assert info["InstanceProfileArn"] == f"arn:aws:iam::222222222222:instance-profile/{profile}"
    document = json.loads(asked_from(daemon, source, f"/latest/meta-data/iam/security-credentials/{role}").text)
    assert document["Code"] == "Success" and document["AccessKeyId"].startswith("ASIAFAKE")
    for other in {"One", "Two", "HostRole"} - {role}:
        assert asked_from(daemon, source, f"/latest/meta-data/iam/security-credentials/{other}").status == 404


def test_the_menu_shows_iam_where_the_upstream_has_none(serve):
    upstream = serve("[callers]\ndefault = false\n")
    assert "iam/" not in upstream.imds.meta("")
    daemon = serve(f'upstream = "{upstream.url}"\n')
    menu = daemon.imds.meta("").split("\n")
    assert "iam/" in menu and menu == sorted(menu)
    assert daemon.imds.get("/2009-04-04/meta-data/").text == upstream.imds.text("/2009-04-04/meta-data/")


def test_what_is_withheld_is_not_listed(daemon, upstream):
    folder = "/latest/meta-data/identity-credentials/ec2/"
    assert upstream.imds.text(folder) == "info\nsecurity-credentials/"
    assert daemon.imds.text(folder) == "info"
    assert daemon.imds.text(folder + "info") == upstream.imds.text(folder + "info")
    assert daemon.imds.get(folder + "security-credentials/").status == 404
    assert daemon.imds.get(folder + "security-credentials/ec2-instance").status == 404


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_tokens_are_ours(serve, upstream):
    daemon = serve(f'upstream = "{upstream.url}"\ntokens = "required"\n')
    assert daemon.imds.get(ID).status == 401
    assert daemon.imds.get(ID, upstream.imds.token()).status == 401
    token = daemon.imds.token(60)
    answer = daemon.imds.get(ID, token)
    assert answer.status == 200 and 0 < int(answer.get(TTL_HEADER)) <= 60
    assert upstream.imds.get(ID, token).status == 401
    assert daemon.imds.put(headers=[("X-Forwarded-For", "192.0.2.1")]).status == 403


def tokens_granted(upstream) -> int:
    return upstream.log.count("PUT /latest/api/token 200")


def test_a_token_that_the_upstream_has_forgotten_is_renewed_once(serve):
    upstream = serve(THERE)
    daemon = serve(f'upstream = "{upstream.url}"\n')
    assert daemon.imds.get(ID).status == 200
    until(lambda: tokens_granted(upstream) == 1, "one token")
    assert upstream.stop() == 0
    (upstream.state / "token.key").unlink()
    port = upstream.port
    upstream.argv[upstream.argv.index("--listen") + 1] = f"127.0.0.1:{port}"
    upstream.start()
    asking = [Background(daemon.imds.get, ID) for _ in range(20)]
    assert [request.join().text for request in asking] == ["i-0000000000000aaaa"] * 20
    until(lambda: upstream.log.count(f"GET {ID} 200") == 21, "everything is logged")
    assert tokens_granted(upstream) == 2


# --- what goes to the upstream, and what comes back ------------------------------------------------------------------


@pytest.fixture
def stand_in(serve):
    """Puts the proxy before a stand-in that answers so."""
    made = []

    def start(answer, config: str = "", **more):
        upstream = StandInUpstream(answer, **more)
        made.append(upstream)
        daemon = serve(f'upstream = "{upstream.url}"\n{config}')
        upstream.asked.clear()
        return daemon, upstream

    yield start
    for upstream in made:
        upstream.__exit__()


def test_nothing_of_the_client_but_its_path_is_sent(stand_in):
    daemon, upstream = stand_in(reply("200 OK", b"x"))
    token = daemon.imds.token()
    headers = [("X-Forwarded-For", "192.0.2.1"), ("Cookie", "a=b"), ("Authorization", "secret"), ("User-Agent", "me")]
    headers += [("Range", "bytes=0-1"), ("X-aws-ec2-metadata-token", token), ("Via", "1.1 me"), ("Expect", "x")]
    target = "//latest/./meta-data/%69nstance-id/?question=1"
    assert exchange(daemon.address, "GET", target, headers, body=b"").text == "x"
    (asked,) = upstream.read()
    assert asked.target == "/latest/meta-data/instance-id/"
    assert asked.get("X-Aws-Ec2-Metadata-Token") == "standin-token=="
    assert asked.get("Host") == f"127.0.0.1:{upstream.port}"
    names = {name.lower() for name, _ in asked.headers}
    assert names == {
        *("host", "accept", "accept-encoding", "user-agent", "connection"),
        *("x-aws-ec2-metadata-token", "x-fake-metadata-via"),
    }
    assert asked.get("User-Agent").startswith("fake-metadata/")


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "405 Not Allowed", "400 Bad Request", "500 Oops"])
def test_an_upstream_that_gives_no_tokens_is_asked_without_one(stand_in, status):
    daemon, upstream = stand_in(reply("200 OK", b"x"), put=reply(status))
    for _ in range(5):
        assert daemon.imds.get(ID).text == "x"
    assert [asked.get("X-Aws-Ec2-Metadata-Token") for asked in upstream.asked] == [None] * 5


def test_an_upstream_that_begins_to_require_tokens_gets_them(stand_in):
    required = []

    def answer(asked):
        has_one = asked.get("X-Aws-Ec2-Metadata-Token") == "standin-token=="
        return reply("401 Unauthorized") if required and not has_one else reply("200 OK", b"x")

    daemon, upstream = stand_in(answer, put=reply("404 Not Found"))
    assert daemon.imds.get(ID).status == 200
    required.append(True)
    upstream.put = reply("200 OK", b"standin-token==", f"{TTL_HEADER}: 21600")
    assert daemon.imds.get(ID).text == "x"
    assert len(upstream.read("PUT")) == 1
    assert daemon.imds.get(ID).text == "x"
    assert len(upstream.read("PUT")) == 1


def test_an_upstream_that_refuses_its_own_token_is_broken(stand_in):
    daemon, upstream = stand_in(reply("401 Unauthorized"))
    assert daemon.imds.get(ID).status == 502
    assert len(upstream.read("PUT")) == 1 and len(upstream.read()) == 2
    assert "refuses the session token it has just given" in daemon.wait_for_log("upstream http://")


@pytest.mark.parametrize("ttl", ["1", "600"])
def test_a_token_is_renewed_before_it_ends(stand_in, ttl):
    daemon, upstream = stand_in(reply("200 OK", b"x"), put=reply("200 OK", b"t", f"{TTL_HEADER}: {ttl}"))

    def renewed():
        assert daemon.imds.get(ID).status == 200
        return upstream.read("PUT")

    if ttl == "1":
        until(renewed, "another token, half a second later")
    else:
        assert not renewed(), "half of ten minutes is far away"


@pytest.mark.parametrize("status", ["400 Bad", "403 Forbidden", "404 Not Found", "429 Slow Down", "500 Oops", "503 Busy"])
def test_a_real_error_is_passed_as_it_is(stand_in, status):
    daemon, _ = stand_in(reply(status, b"what went wrong", "Content-Type: text/x", "X-Other: yes"))
    answer = daemon.imds.get(ID)
    assert f"{answer.status} {answer.reason}" == status
    assert answer.body == b"what went wrong"
    assert answer.headers[:2] == [("Content-Type", "text/x"), ("X-Other", "yes")]


def test_a_redirect_is_passed_and_not_followed(stand_in):
    there = "Location: http://127.0.0.1:1/latest/meta-data/iam/"
    daemon, upstream = stand_in(reply("301 Moved Permanently", b"", there))
    answer = daemon.imds.get(ID)
    assert (answer.status, f"Location: {answer.get('Location')}") == (301, there)
    assert len(upstream.read()) == 1


def test_what_belongs_to_a_connection_stays_on_it(stand_in):
    chunked = b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
    head = reply(
        *("200 OK", b"", "Content-Type: text/plain", "Transfer-Encoding: chunked", "Connection: keep-alive, X-Hop"),
        *("Keep-Alive: timeout=5", "X-Hop: 1", "Trailer: X-Trailer", "Server: there", f"{TTL_HEADER}: 21000"),
        length=False,
    )
    daemon, _ = stand_in(head + chunked)
    answer = daemon.imds.get(ID)
    assert answer.body == b"hello world"
    assert [pair for pair in answer.headers if pair[0] != "Date"] == [
        *(("Content-Type", "text/plain"), ("Server", "there"), ("Connection", "close"), ("Content-Length", "11")),
    ]


def test_a_body_that_ends_with_its_connection_is_whole(stand_in):
    daemon, _ = stand_in(reply("200 OK", b"until the end", "Connection: close", length=False))
    for _ in range(3):
        answer = daemon.imds.get(ID)
        assert (answer.status, answer.body, answer.get("Content-Length")) == (200, b"until the end", "13")


def test_answers_without_a_body(stand_in):
    daemon, _ = stand_in(lambda asked: reply("204 No Content", length=False))
    with Connection(daemon.address) as connection:
        for _ in range(2):
            connection.send(request_bytes("GET", ID, {"Connection": "keep-alive"}))
            assert connection.answer().status == 204


def test_an_encoded_menu_cannot_be_passed(stand_in):
    daemon, _ = stand_in(reply("200 OK", b"\x1f\x8b", "Content-Encoding: gzip"))
    assert daemon.imds.get("/latest/meta-data/").status == 502
    assert daemon.imds.get(ID).body == b"\x1f\x8b"


# --- around it -------------------------------------------------------------------------------------------------------


def test_few_requests_at_once_go_to_the_upstream(stand_in):
    lock, at_once = threading.Lock(), [0]

    def answer(_):
        with lock:
            at_once.append(at_once[-1] + 1)
        time.sleep(0.01)  # long enough for the others to come, were they let
        with lock:
            at_once.append(at_once[-1] - 1)
        return reply("200 OK", b"x")

    daemon, upstream = stand_in(answer)
    asking = [Background(daemon.imds.get, ID) for _ in range(100)]
    assert {request.join().status for request in asking} == {200}
    assert len(upstream.read()) == 100 and upstream.read("PUT") == []
    assert 1 < max(at_once) <= 16
    assert upstream.connections < 50, "connections are kept"


def test_status_shows_the_upstream(serve, binary, upstream):
    daemon = serve(f'upstream = "{upstream.url}"\n')
    shown = json.loads(run(binary, "status", "--json", "--control", str(daemon.control)).stdout)
    assert shown["upstream"] == {"url": upstream.url, "answers": True, "error": None, "session-tokens": True}
    lines = run(binary, "status", "--control", str(daemon.control)).stdout
    assert upstream.url in lines


@pytest.mark.parametrize("host", ["localhost", "[::1]"])
def test_an_upstream_by_name_and_over_ipv6(serve, host):
    upstream = serve(THERE, listen=("127.0.0.1:0" if host == "localhost" else "[::1]:0",))
    daemon = serve(f'upstream = "http://{host}:{upstream.port}"\n')
    assert daemon.imds.text(ID) == "i-0000000000000aaaa"


def test_run_serves_a_command_from_the_upstream(binary, upstream, tmp_path):
    command = ("sh", "-c", f'curl -sSf "$AWS_EC2_METADATA_SERVICE_ENDPOINT{ID}"')
    state = ("--state-dir", str(tmp_path / "state"))
    done = run(binary, "run", "--set", f"upstream={upstream.url}", *state, "--", *command, cwd=tmp_path)
    assert done.stdout == "i-0000000000000aaaa", done.stderr


def test_tree_prints_what_is_ours(binary, tmp_path):
    printed = run(binary, "tree", "--set", "upstream=http://192.0.2.1", cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    paths = [line.split(" ")[0] for line in printed.stdout.splitlines()]
    assert paths == [
        "/latest/meta-data/iam/info",
        "/latest/meta-data/iam/security-credentials/BaseIAMRole",
    ]


def test_a_reload_takes_and_drops_an_upstream(serve, upstream, binary):
    daemon = serve("[instance]\ninstance-id = \"i-0000000000000bbbb\"\n")

    def reload(config: str):
        daemon.config.write_text(config)
        done = run(binary, "reload", "--control", str(daemon.control))
        assert done.returncode == 0, done.stderr

    assert daemon.imds.text(ID) == "i-0000000000000bbbb"
    reload(f'upstream = "{upstream.url}"\n')
    assert daemon.imds.text(ID) == "i-0000000000000aaaa"
    reload("[instance]\ninstance-id = \"i-0000000000000cccc\"\n")
    assert daemon.imds.text(ID) == "i-0000000000000cccc"


def test_no_secret_of_the_upstream_in_the_log(serve, upstream):
    daemon = serve(f'upstream = "{upstream.url}"\n[log]\nlevel = "trace"\n')
    token = daemon.imds.token()
    assert daemon.imds.get(ID, token).status == 200
    daemon.wait_for_log(f"GET {ID} 200")
    # A session token looks like this, whoever made it.
    assert "AQAEA" in token and "AQAEA" not in daemon.log
    assert " v2 upstream" in daemon.wait_for_log(f"GET {ID} 200")


def test_our_own_client_reads_through_the_proxy(serve, binary, upstream):
    daemon = serve(f'upstream = "{upstream.url}"\n')
    for path, value in [("placement/availability-zone/", "eu-west-1a"), ("iam/security-credentials/", "BaseIAMRole")]:
        got = run(binary, "get", "--endpoint", daemon.url, path)
        assert got.stdout.strip() == value, got


def test_faults_strike_what_is_passed_on_too(serve, binary, upstream):
    daemon = serve(f'upstream = "{upstream.url}"\n')
    control = ("--control", str(daemon.control))
    played = run(binary, "fault", "add", "status", "503", "--path", "*/placement/*", *control)
    assert played.returncode == 0, played.stderr
    assert daemon.imds.get("/latest/meta-data/placement/region").status == 503
    assert daemon.imds.get(ID).status == 200
    cut = run(binary, "fault", "add", "truncate", "--path", "*/instance-id", *control)
    assert cut.returncode == 0, cut.stderr
    with pytest.raises(Closed):
        daemon.imds.get(ID)


def test_commands_that_would_change_nothing_are_refused(serve, binary, upstream):
    daemon = serve(f'upstream = "{upstream.url}"\n')

    def told(*words: str):
        return run(binary, *words, env={"FAKE_METADATA_CONTROL": str(daemon.control)}, stdin=subprocess.DEVNULL)

    for words in (
        ("event", "spot"),
        ("set", "instance-id", "i-1"),
        ("set", "iam/mine", "x", "mine", "x"),
        ("unset", "placement/region"),
        ("tags", "set", "Name", "x"),
        ("tags", "unset", "Name"),
        ("user-data", "-"),
    ):
        refused = told(*words)
        assert (refused.returncode, refused.stdout) == (2, ""), refused
        assert f"comes from the upstream {upstream.url}" in refused.stderr, refused
    for words in (("set", "iam/mine", "x"), ("tokens", "required"), ("event", "list"), ("event", "clear")):
        assert told(*words).returncode == 0, words
    assert daemon.imds.get("/latest/meta-data/iam/mine", daemon.imds.token()).text == "x"
    assert daemon.imds.get(ID).status == 401


def test_what_was_changed_before_there_was_an_upstream_can_be_taken_back(serve, binary, upstream):
    daemon = serve("")
    control = ("--control", str(daemon.control))
    assert run(binary, "set", *control, "mine", "x").returncode == 0
    daemon.config.write_text(f'upstream = "{upstream.url}"\n')
    for words in (("reload",), ("unset", "mine")):
        done = run(binary, words[0], *control, *words[1:])
        assert done.returncode == 0, done
    assert json.loads(run(binary, "status", "--json", *control).stdout)["changes"] == []
