"""The signed identity document, verified with the commands AWS documents and the certificate that we print.

Commands: EC2 user guide, "Verify the instance identity document" (base64, RSA and RSA-2048 signatures).
"""

import json
import subprocess

import pytest

from support.daemon import run

IDENTITY = "/latest/dynamic/instance-identity/"


class Verifier:
    """A folder with the document, the signatures and the certificate, and openssl on them."""

    def __init__(self, folder, document: bytes, certificate: str):
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        (folder / "certificate").write_text(certificate)
        self.put(document)

    def put(self, document: bytes):
        (self.folder / "document").write_bytes(document)

    def openssl(self, *argv: str) -> subprocess.CompletedProcess:
        return subprocess.run(["openssl", *argv], cwd=self.folder, capture_output=True, timeout=30)

    def signature(self, signature: str) -> bool:
        """`signature`: RSA over SHA-256 of the document, checked with the certificate's public key."""
        (self.folder / "signature").write_text(signature + "\n")
        decoded = subprocess.run(["base64", "-d", "signature"], cwd=self.folder, capture_output=True, check=True)
        (self.folder / "signature.bin").write_bytes(decoded.stdout)
        key = self.openssl("x509", "-pubkey", "-noout", "-in", "certificate")
        (self.folder / "key").write_bytes(key.stdout)
        result = self.openssl("dgst", "-sha256", "-verify", "key", "-signature", "signature.bin", "document")
        return result.returncode == 0 and b"Verified OK" in result.stdout

    def pkcs7(self, body: str) -> bytes | None:
        """`pkcs7` and `rsa2048`: the document that was signed; None when the verification fails."""
        (self.folder / "pkcs7").write_text(f"-----BEGIN PKCS7-----\n{body}\n-----END PKCS7-----\n")
        result = self.openssl(
            *("smime", "-verify", "-in", "pkcs7", "-inform", "PEM", "-content", "document"),
            *("-certfile", "certificate", "-noverify"),
        )
        return result.stdout if result.returncode == 0 else None


@pytest.fixture(scope="module")
def certificate(default_daemon, binary) -> str:
    default_daemon.imds.text(IDENTITY + "rsa2048")
    result = run(binary, "identity", "certificate", "--state-dir", str(default_daemon.state))
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def verifier(imds, certificate, tmp_path):
    return Verifier(tmp_path / "verify", imds.text(IDENTITY + "document").encode(), certificate)


def test_the_signature_is_that_of_the_document(imds, verifier):
    assert verifier.signature(imds.text(IDENTITY + "signature"))


@pytest.mark.parametrize("leaf", ["pkcs7", "rsa2048"])
def test_the_signed_data_holds_the_document_byte_for_byte(imds, verifier, leaf):
    assert verifier.pkcs7(imds.text(IDENTITY + leaf)).replace(b"\r\n", b"\n") == imds.get(IDENTITY + "document").body


@pytest.mark.parametrize("leaf", ["signature", "pkcs7", "rsa2048"])
def test_a_changed_byte_of_the_document_fails(imds, verifier, leaf):
    document = imds.get(IDENTITY + "document").body
    verifier.put(document.replace(b"us-east-1", b"us-east-2"))
    body = imds.text(IDENTITY + leaf)
    if leaf == "signature":
        assert not verifier.signature(body)
    else:
        assert verifier.pkcs7(body) is None


@pytest.mark.parametrize("leaf", ["signature", "pkcs7", "rsa2048"])
def test_a_changed_byte_of_the_signature_fails(imds, verifier, leaf):
    lines = imds.text(IDENTITY + leaf).split("\n")
    # In the last whole line lies the signature itself in all three.
    line = lines[-2]
    lines[-2] = line[:10] + ("A" if line[10] != "A" else "B") + line[11:]
    body = "\n".join(lines)
    assert not (verifier.signature(body) if leaf == "signature" else verifier.pkcs7(body))


@pytest.mark.parametrize("leaf", ["signature", "pkcs7", "rsa2048"])
def test_another_daemons_certificate_fails(imds, serve, binary, tmp_path, leaf):
    other = run(binary, "identity", "certificate", "--state-dir", str(tmp_path / "other")).stdout
    verifier = Verifier(tmp_path / "verify", imds.get(IDENTITY + "document").body, other)
    body = imds.text(IDENTITY + leaf)
    assert not (verifier.signature(body) if leaf == "signature" else verifier.pkcs7(body))


@pytest.mark.parametrize("leaf", ["signature", "pkcs7", "rsa2048"])
def test_base64_is_wrapped_at_76_without_pem_lines(imds, leaf):
    lines = imds.text(IDENTITY + leaf).split("\n")
    assert all(len(line) == 76 for line in lines[:-1]) and 0 < len(lines[-1]) <= 76
    assert not any("-----" in line for line in lines)


def test_the_signed_data_carries_no_certificate_and_the_usual_attributes(imds, tmp_path, certificate):
    verifier = Verifier(tmp_path / "verify", b"", certificate)
    body = imds.text(IDENTITY + "rsa2048")
    (verifier.folder / "p").write_text(f"-----BEGIN PKCS7-----\n{body}\n-----END PKCS7-----\n")
    listed = verifier.openssl("pkcs7", "-in", "p", "-print", "-noout").stdout.decode()
    assert "<ABSENT>" in listed.split("cert:")[1].split("crl:")[0]
    for name in ("contentType", "signingTime", "messageDigest"):
        assert name in listed


def test_the_certificate_is_rsa_2048_and_lasts(certificate, tmp_path):
    text = Verifier(tmp_path / "verify", b"", certificate).openssl("x509", "-noout", "-text", "-in", "certificate")
    assert b"(2048 bit)" in text.stdout
    lasts = Verifier(tmp_path / "verify", b"", certificate).openssl("x509", "-checkend", str(365 * 86400), "-in", "certificate")
    assert lasts.returncode == 0


def test_the_document_agrees_with_the_tree(imds):
    document = json.loads(imds.text(IDENTITY + "document"))
    mac = imds.meta("mac")
    assert document["instanceId"] == imds.meta("instance-id")
    assert document["imageId"] == imds.meta("ami-id")
    assert document["instanceType"] == imds.meta("instance-type")
    assert document["privateIp"] == imds.meta("local-ipv4")
    assert document["region"] == imds.meta("placement/region")
    assert document["availabilityZone"] == imds.meta("placement/availability-zone")
    assert document["accountId"] == imds.meta(f"network/interfaces/macs/{mac}/owner-id")


def test_the_document_has_ec2s_keys_in_order_and_its_white_space(imds):
    text = imds.text(IDENTITY + "document")
    assert list(json.loads(text)) == [
        *("accountId", "architecture", "availabilityZone", "billingProducts", "devpayProductCodes"),
        *("marketplaceProductCodes", "imageId", "instanceId", "instanceType", "kernelId", "pendingTime", "privateIp"),
        *("ramdiskId", "region", "version"),
    ]
    assert text == json.dumps(json.loads(text), indent=2, separators=(",", " : "))


def test_document_and_signatures_are_the_same_under_every_version_that_has_them(imds):
    for leaf in ("document", "signature", "pkcs7", "rsa2048"):
        latest = imds.text(IDENTITY + leaf)
        for version in ("2009-04-04", "2016-09-02", "2021-03-23"):
            assert imds.text(f"/{version}/dynamic/instance-identity/{leaf}") == latest


def test_signatures_are_stable_while_the_daemon_runs(imds):
    for leaf in ("signature", "pkcs7", "rsa2048"):
        assert len({imds.text(IDENTITY + leaf) for _ in range(5)}) == 1


def test_product_codes_are_in_the_document_inline(serve):
    imds = serve('[instance]\nproduct-codes = ["3iplms73etrdhxdepv72l6ywj"]\nbilling-products = ["bp-6ba54002"]\n').imds
    text = imds.text(IDENTITY + "document")
    assert '"marketplaceProductCodes" : [ "3iplms73etrdhxdepv72l6ywj" ],' in text
    assert '"billingProducts" : [ "bp-6ba54002" ],' in text


def test_a_changed_configuration_is_signed_anew(serve, binary, tmp_path):
    daemon = serve('[instance]\ninstance-type = "t3.nano"\n')
    first = daemon.imds.text(IDENTITY + "signature")
    daemon.config.write_text('[instance]\ninstance-type = "m5.large"\n')
    assert daemon.restart()
    imds = daemon.imds
    assert imds.text(IDENTITY + "signature") != first
    certificate = run(binary, "identity", "certificate", "--state-dir", str(daemon.state)).stdout
    verifier = Verifier(tmp_path / "verify", imds.get(IDENTITY + "document").body, certificate)
    assert verifier.signature(imds.text(IDENTITY + "signature"))
    assert b"m5.large" in verifier.pkcs7(imds.text(IDENTITY + "rsa2048"))
