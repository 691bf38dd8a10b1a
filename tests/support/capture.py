"""The capture of a real t3.nano, and what a reply to each of its requests must be."""

import json
import re
from pathlib import Path

from .expected import PAGE_404, header_names
from .wire import TTL_HEADER, Answer, Connection, request_bytes

DATA = Path(__file__).resolve().parent.parent / "data"
USER_DATA = bytes(range(256)) * 32 + b"x" * 135
TOKEN = re.compile(r"[A-Za-z0-9_-]{54}==")
ROWS = [json.loads(line) for line in (DATA / "depth.jsonl").read_text().splitlines()]
REQUESTS = [row for row in ROWS if "dmi" not in row]
AUTHENTICATED = {(row["method"], row["path"]): row for row in REQUESTS if row["token"]}


def name(row) -> str:
    how = " ".join(f"{key}={value}" for key, value in row.get("request_headers", {}).items())
    return f"{row['method']} {row['path']} {'token' if row['token'] else 'no-token'} {how}".strip()


def configuration(mode: str, folder: Path) -> str:
    """The configuration under which a daemon is the captured instance; its user data is put into the folder."""
    (folder / "user-data").write_bytes(USER_DATA)
    assert len(USER_DATA) == 8327
    return f'tokens = "{mode}"\n' + (DATA / "depth.toml").read_text()


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


def check(row, mode: str, answer: Answer, kept_alive: bool):
    """Whether this is the captured reply, byte for byte but for dates and tokens."""
    want = expected(row, mode)
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
