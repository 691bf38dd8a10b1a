"""How a path is read (reference 1.7)."""

import pytest

from support.expected import PAGE_404, VERSIONS
from support.wire import exchange


@pytest.fixture(scope="module")
def instance_id(imds):
    return imds.meta("instance-id")


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/instance-id",
        "/latest/meta-data/instance-id/",
        "//latest/meta-data/instance-id",
        "/latest//meta-data///instance-id",
        "/latest/./meta-data/./instance-id",
        "/latest/meta-data/%69nstance-id",
        "/latest%2Fmeta-data/instance-id",
        "/latest/meta-data/instance-id?",
        "/latest/meta-data/instance-id?x=1&y=/../../",
        "/latest/meta-data/instance-id/?x",
    ],
)
def test_the_same_leaf_by_another_spelling(imds, instance_id, path):
    answer = imds.get(path)
    assert (answer.status, answer.text) == (200, instance_id)


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/Instance-Id",
        "/LATEST/meta-data/instance-id",
        "/latest/meta-data/instance-id/x",
        "/latest/meta-data/instance",
        "/latest/meta-data/instance-id%00",
        "/latest/meta-data/instance-id%",
        "/latest/meta-data/instance-id%zz",
        "/latest/meta-data/%ff%fe",
        "/latest/api",
        "/0000-00-00/",
        "/2021-03-24/meta-data/instance-id",
        "/latest/dynamic/fws/",
        "/latest/meta-data/iam/security-credentials-extended/",
        "/latest/meta-data/iam/security-credentials/NoSuchRole",
        "/latest/user-data",
        "/meta-data",
        "/favicon.ico",
    ],
)
def test_what_is_not_there_is_404(imds, path):
    answer = imds.get(path)
    assert (answer.status, answer.text) == (404, PAGE_404)


@pytest.mark.parametrize("path", ["/latest", "/latest/meta-data", "/latest/dynamic", "/latest/meta-data/placement"])
def test_a_directory_without_its_slash_is_the_listing_and_no_redirect(imds, path):
    without, with_slash = imds.get(path), imds.get(path + "/")
    assert without.status == 200
    assert without.body == with_slash.body


def test_the_root_lists_31_versions(imds):
    answer = imds.get("/")
    assert answer.text.split("\n") == VERSIONS
    assert answer.get("Content-Length") == "329"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_lists_the_same_three(imds, version):
    assert imds.get(f"/{version}/").text == "dynamic\nmeta-data\nuser-data"


def test_the_absolute_form_of_a_proxy_request_is_understood(default_daemon, instance_id):
    answer = exchange(default_daemon.address, "GET", "http://169.254.169.254/latest/meta-data/instance-id")
    assert (answer.status, answer.text) == (200, instance_id)


def test_a_path_of_dots_never_leaves_the_tree(imds):
    for path in ("/../../../etc/passwd", "/latest/../../etc/passwd", "/latest/meta-data/%2e%2e/%2e%2e/etc/passwd"):
        answer = imds.get(path)
        assert answer.status in (400, 404)
        assert b"root:" not in answer.body
