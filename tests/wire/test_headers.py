"""Names, order, case and values of the reply headers, for every kind of reply (reference 1.3)."""

import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from support.expected import EMPTY, NOT_FOUND, PAGE_404, VALUE
from support.wire import TTL_HEADER, exchange

DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT")
LEAF = "/latest/meta-data/instance-id"


def when(text: str) -> datetime:
    assert DATE.fullmatch(text), text
    return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)


def test_a_value_read_without_a_token(imds):
    answer = imds.get(LEAF)
    assert (answer.version, answer.status, answer.reason) == ("HTTP/1.1", 200, "OK")
    assert answer.names == VALUE
    assert answer.get("Content-Type") == "text/plain"
    assert answer.get("Accept-Ranges") == "none"
    assert answer.get("Server") == "EC2ws"
    assert answer.get("Connection") == "close"
    assert answer.get("Content-Length") == str(len(answer.body))


def test_a_value_read_with_a_token_names_the_seconds_left_first(imds):
    answer = imds.get(LEAF, imds.token(120))
    assert answer.names == [TTL_HEADER, *VALUE]
    assert 115 <= int(answer.get(TTL_HEADER)) <= 120


def test_a_token_request(imds):
    answer = imds.put(77)
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.names == [TTL_HEADER, *EMPTY]
    assert answer.get(TTL_HEADER) == "77"
    assert answer.get("Content-Length") == "56"
    assert answer.get("Content-Type") == "text/plain"


@pytest.mark.parametrize(
    ("status", "reason", "ask"),
    [
        (400, "Bad Request", lambda imds: imds.put("invalid")),
        (401, "Unauthorized", lambda imds: imds.get(LEAF, "AQAEA-not-a-token")),
        (403, "Forbidden", lambda imds: imds.get(LEAF, method="POST")),
    ],
)
def test_an_empty_refusal(imds, status, reason, ask):
    answer = ask(imds)
    assert (answer.status, answer.reason, answer.body) == (status, reason, b"")
    assert answer.names == EMPTY
    assert answer.get("Content-Type") == "text/plain"
    assert answer.get("Content-Length") == "0"


def test_an_unknown_path_is_the_339_byte_page(imds):
    answer = imds.get("/latest/meta-data/nothing-here")
    assert (answer.status, answer.reason) == (404, "Not Found")
    assert answer.names == NOT_FOUND
    assert answer.get("Content-Type") == "text/html"
    assert answer.text == PAGE_404
    assert answer.get("Content-Length") == "339"


@pytest.mark.parametrize(
    ("status", "ask"),
    [
        (404, lambda imds, token: imds.get("/latest/meta-data/nothing-here", token)),
        (403, lambda imds, token: imds.get(LEAF, token, method="DELETE")),
        (200, lambda imds, token: imds.get(LEAF, token, method="OPTIONS")),
        (200, lambda imds, token: imds.get(LEAF, token, method="HEAD")),
    ],
)
def test_every_reply_to_an_accepted_token_names_the_seconds_left(imds, status, ask):
    answer = ask(imds, imds.token(120))
    assert answer.status == status
    assert answer.names[0] == TTL_HEADER
    assert 115 <= int(answer.get(TTL_HEADER)) <= 120


@pytest.mark.parametrize(
    ("status", "ask"),
    [
        (400, lambda imds, token: imds.put(21601, headers=[("X-aws-ec2-metadata-token", token)])),
        (401, lambda imds, token: imds.get(LEAF, token.swapcase())),
        (200, lambda imds, token: imds.get(LEAF)),
        (403, lambda imds, token: imds.put(60, headers=[("X-Forwarded-For", "192.0.2.1")])),
    ],
)
def test_no_other_reply_names_them(imds, status, ask):
    answer = ask(imds, imds.token(120))
    assert answer.status == status
    assert TTL_HEADER not in answer.names


def test_get_on_the_token_path_is_405_not_allowed(imds):
    answer = imds.get("/latest/api/token")
    assert (answer.status, answer.reason, answer.body) == (405, "Not Allowed", b"")
    assert answer.names == ["Allow", *EMPTY]
    assert answer.get("Allow") == "OPTIONS, PUT"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (LEAF, "OPTIONS, GET, HEAD"),
        ("/latest/meta-data/", "OPTIONS, GET, HEAD"),
        ("/latest/api/token", "OPTIONS, PUT"),
    ],
)
def test_options_names_the_methods(imds, path, allow):
    answer = imds.get(path, imds.token(), method="OPTIONS")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.get("Allow") == allow
    assert answer.get("Content-Length") == "0"
    assert answer.names == [TTL_HEADER, "Allow", *EMPTY]


@pytest.mark.parametrize("path", [LEAF, "/latest/meta-data/", "/latest/user-data", "/nothing"])
def test_head_has_the_headers_of_get_and_no_body(imds, path):
    get, head = imds.get(path), imds.get(path, method="HEAD")
    assert head.status == get.status
    assert head.names == get.names
    assert head.get("Content-Length") == get.get("Content-Length")
    assert head.body == b""


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "TRACE", "PROPFIND", "FOO"])
def test_other_methods_on_metadata_are_forbidden(imds, method):
    answer = exchange(imds.address, method, LEAF)
    assert (answer.status, answer.body) == (403, b"")


def test_date_is_now(imds):
    date = when(imds.get(LEAF).get("Date"))
    assert abs(datetime.now(timezone.utc) - date) < timedelta(seconds=3)


def test_last_modified_lies_between_launch_and_date(imds):
    document = json.loads(imds.text("/latest/dynamic/instance-identity/document"))
    launch = datetime.fromisoformat(document["pendingTime"].replace("Z", "+00:00"))
    answer = imds.get(LEAF)
    assert launch <= when(answer.get("Last-Modified")) <= when(answer.get("Date"))


def test_last_modified_lies_after_a_launch_long_ago(serve):
    daemon = serve('[instance]\npending-time = "2020-02-03T04:05:06Z"\n')
    answer = daemon.imds.get(LEAF)
    assert datetime(2020, 2, 3, 4, 5, 6, tzinfo=timezone.utc) <= when(answer.get("Last-Modified")) <= when(answer.get("Date"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/plain"),
        ("/latest/meta-data/", "text/plain"),
        (LEAF, "text/plain"),
        ("/latest/dynamic/instance-identity/document", "text/plain"),
        ("/latest/meta-data/iam/info", "text/plain"),
        ("/latest/meta-data/iam/security-credentials/BaseIAMRole", "text/plain"),
        ("/latest/meta-data/events/maintenance/scheduled", "text/plain"),
    ],
)
def test_everything_readable_is_text_plain_without_a_charset(imds, path, kind):
    assert imds.get(path).get("Content-Type") == kind


def test_user_data_is_octet_stream_byte_for_byte(serve, tmp_path):
    data = bytes(range(256)) * 64
    (tmp_path / "data").write_bytes(data)
    daemon = serve(f'[instance]\nuser-data-file = "{tmp_path / "data"}"\n')
    for path in ("/latest/user-data", "/latest/user-data/", "/1.0/user-data", "/2016-09-02/user-data"):
        answer = daemon.imds.get(path)
        assert answer.body == data
        assert answer.get("Content-Type") == "application/octet-stream"


@pytest.mark.parametrize("name", ["X-AWS-EC2-METADATA-TOKEN-TTL-SECONDS", "x-aws-ec2-metadata-token-ttl-seconds"])
def test_request_header_names_have_no_case(imds, name):
    answer = exchange(imds.address, "PUT", "/latest/api/token", {name: "60"})
    assert answer.status == 200
    read = exchange(imds.address, "GET", LEAF, {name.upper().replace("-TTL-SECONDS", ""): answer.text})
    assert read.status == 200
    assert read.names[0] == TTL_HEADER
