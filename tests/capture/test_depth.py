"""Every request of the capture of a real t3.nano, asked of a daemon configured to be that instance.

In required mode the replies are those of the capture. With optional tokens a request without one is answered as the
capture answers the same request with one.
"""

import json
import re
from pathlib import Path

import pytest

from conftest import TESTS
from support.expected import PAGE_404, header_names
from support.wire import TTL_HEADER, Answer, Connection, request_bytes

USER_DATA = bytes(range(256)) * 32 + b"x" * 135
TOKEN = re.compile(r"[A-Za-z0-9_-]{54}==")
ROWS = [json.loads(line) for line in (TESTS / "data" / "depth.jsonl").read_text().splitlines()]
REQUESTS = [row for row in ROWS if "dmi" not in row]
AUTHENTICATED = {(row["method"], row["path"]): row for row in REQUESTS if row["token"]}


def name(row) -> str:
    how = " ".join(f"{key}={value}" for key, value in row.get("request_headers", {}).items())
    return f"{row['method']} {row['path']} {'token' if row['token'] else 'no-token'} {how}".strip()


@pytest.fixture(scope="module", params=["required", "optional"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def daemon(serve_module, mode, tmp_path_factory):
    folder = tmp_path_factory.mktemp("t3-nano")
    (folder / "user-data").write_bytes(USER_DATA)
    assert len(USER_DATA) == 8327
    return serve_module(f'tokens = "{mode}"\n' + Path(TESTS / "data" / "depth.toml").read_text(), folder=folder)


@pytest.fixture(scope="module")
def token(daemon):
    return daemon.imds.token(300)


def ask(daemon, row, token: str, kept_alive: bool) -> Answer:
    headers = dict(row.get("request_headers", {}))
    if row["method"] == "PUT" and not headers:
        headers["X-aws-ec2-metadata-token-ttl-seconds"] = "300"
    if row["token"]:
        headers["X-aws-ec2-metadata-token"] = token
    if kept_alive:
        headers["Connection"] = "keep-alive"
    with Connection(daemon.address) as connection:
        connection.send(request_bytes(row["method"], row["path"], headers))
        answer = connection.answer(row["method"])
        if kept_alive:
            # The connection is still good: the next request is answered on it.
            connection.send(request_bytes("GET", "/", {"X-aws-ec2-metadata-token": token}))
            assert connection.answer().status == 200
        assert connection.rest() == b""
    return answer


def expected(row, mode: str):
    """The row whose reply this request must get."""
    if mode == "optional" and row["code"] == 401:
        return AUTHENTICATED[(row["method"], row["path"])]
    return row


@pytest.mark.parametrize("row", REQUESTS, ids=name)
def test_row(daemon, mode, token, row):
    want = expected(row, mode)
    for kept_alive in (False, True):
        answer = ask(daemon, row, token, kept_alive)
        granted = want.get("body") == "<token-redacted>"
        assert answer.status == want["code"]
        assert answer.get("Content-Type") == want["content_type"]
        assert answer.get("Content-Length") == str(want["length"])
        assert answer.get("Server") == "EC2ws"
        assert answer.get("Allow") == want.get("allow")
        assert answer.get("Connection") == (None if kept_alive else "close")
        accepted = row["token"] and answer.status not in (400, 401)
        assert answer.names == header_names(answer, kept_alive, accepted, granted)
        check_body(row, want, answer)
        if accepted and not granted:
            assert 0 < int(answer.get(TTL_HEADER)) <= 300


def check_body(row, want, answer: Answer):
    if "body_sha256" in want:
        assert answer.body == (USER_DATA if want["code"] == 200 else b"")
    elif want["body"] == "<token-redacted>":
        assert TOKEN.fullmatch(answer.text)
        assert answer.get(TTL_HEADER) == row.get("request_headers", {}).get("X-aws-ec2-metadata-token-ttl-seconds", "300")
    else:
        assert answer.text == (PAGE_404 if want["body"] == "@404" else want["body"])


def test_the_capture_is_whole():
    assert len(REQUESTS) == 280
    assert len(PAGE_404) == 339
