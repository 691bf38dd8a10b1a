"""A proxy between the daemon and AWS, by the variables that every SDK follows: tinyproxy, which wants a password."""

import json
import subprocess

import pytest

from support.moto import Moto
from support.proxy import PASSWORD, USER, Proxy
from support.roles import Aws, command, identity, served, shown
from support.wait import until

TABLE = '[roles.App]\nsource = "assume-role"\nrole-arn = "arn:aws:iam::111122223333:role/App"\n'


@pytest.fixture
def proxy(tmp_path):
    proxy = Proxy(tmp_path / "proxy")
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """moto behind TLS, and the certificate that it is known by."""
    folder = tmp_path_factory.mktemp("encrypted")
    certificate, key = folder / "certificate", folder / "key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sts", "-keyout", key,
         "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:false", "-out", certificate],
        check=True,
        capture_output=True,
    )
    moto = Moto(folder / "moto", tls=(certificate, key))
    yield moto, certificate
    moto.close()


def test_a_plain_sts_is_asked_through_the_proxy(aws, moto, proxy, sts):
    daemon = aws.daemon(TABLE, env={"HTTP_PROXY": proxy.url})
    assert ":assumed-role/App/" in identity(daemon, moto)
    assert proxy.requests() == [f"POST {sts.url}/ HTTP/1.1"]
    assert PASSWORD not in daemon.log


def test_an_encrypted_sts_is_reached_through_a_tunnel(serve, proxy, encrypted, tmp_path):
    moto, certificate = encrypted
    aws = Aws(tmp_path / "aws", moto, serve)
    daemon = aws.daemon(TABLE, env={"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(certificate)})
    assert served(daemon)["Code"] == "Success"
    assert proxy.requests() == [f"CONNECT 127.0.0.1:{moto.port} HTTP/1.1"]
    assert PASSWORD not in daemon.log


@pytest.mark.parametrize(
    "exempt", [{"NO_PROXY": "127.0.0.1"}, {"no_proxy": "example.org,127.0.0.0/8"}, {"NO_PROXY": "*"}], ids=str
)
def test_what_is_exempt_is_asked_directly(aws, moto, proxy, exempt):
    daemon = aws.daemon(TABLE, env={"http_proxy": proxy.url, **exempt})
    assert ":assumed-role/App/" in identity(daemon, moto)
    assert proxy.requests() == []


def test_a_proxy_that_refuses_is_told_without_its_password(aws, sts, proxy):
    wrong = proxy.url.replace(PASSWORD, "another-password-of-it")
    daemon = aws.daemon(TABLE, env={"HTTP_PROXY": wrong})
    assert served(daemon)["Code"] != "Success"
    assert sts.actions() == []
    error = shown(daemon)["last-error"]
    assert "assume role arn:aws:iam::111122223333:role/App" in error or "App" in error, error
    status = command(daemon, "list", "--json")
    for text in (daemon.log, json.dumps(error), status):
        assert "another-password-of-it" not in text and USER + ":" not in text


def test_a_proxy_that_is_not_there_is_a_failure_that_the_next_answer_mends(aws, sts, proxy):
    proxy.close()
    daemon = aws.daemon(TABLE, env={"HTTP_PROXY": proxy.url})
    assert served(daemon)["Code"] != "Success"
    until(lambda: "refused" in (shown(daemon)["last-error"] or ""), "the refused connection is told")
    assert sts.actions() == []
