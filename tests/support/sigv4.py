"""The server's side of AWS Signature Version 4: recomputes a request's signature from the secret.

Written from AWS's published description of the algorithm; the canonical URI is taken as it came, because S3
does not encode it a second time.
"""

import hashlib
import hmac
import re
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, quote, urlsplit

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})$"
)
SKEW = timedelta(minutes=15)


class Refused(Exception):
    """Why the request is not accepted, as S3's error code and a sentence."""

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    return "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in pairs))


def verify(method: str, target: str, headers: dict[str, str], body: bytes, credentials: dict[str, str], now: datetime):
    """Checks a signed request against `AccessKeyId`, `SecretAccessKey` and `Token`; `headers` has lower-case names.

    Raises `Refused` unless the signature is right, the session token is the very one and part of what was signed,
    the body is the one that was hashed, and the clock is within a quarter of an hour.
    """
    match = AUTHORIZATION.match(headers.get("authorization", ""))
    if not match:
        raise Refused("AccessDenied", "no AWS4-HMAC-SHA256 authorization")
    if match["key"] != credentials["AccessKeyId"]:
        raise Refused("InvalidAccessKeyId", "not the access key that was handed out")
    signed = match["headers"].split(";")
    for name in ("host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"):
        if name not in signed:
            raise Refused("AccessDenied", f"{name} is not signed")
    if headers["x-amz-security-token"] != credentials["Token"]:
        raise Refused("InvalidToken", "not the session token that was handed out")
    _check_time(headers["x-amz-date"], match["date"], now)
    digest = headers["x-amz-content-sha256"]
    if digest != "UNSIGNED-PAYLOAD" and digest != hashlib.sha256(body).hexdigest():
        raise Refused("XAmzContentSHA256Mismatch", "the body is not the one that was signed")
    url = urlsplit(target)
    canonical = "\n".join(
        [
            method,
            url.path or "/",
            _canonical_query(url.query),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed),
            "",
            match["headers"],
            digest,
        ]
    )
    scope = f"{match['date']}/{match['region']}/{match['service']}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashed}"
    key = ("AWS4" + credentials["SecretAccessKey"]).encode()
    for part in (match["date"], match["region"], match["service"], "aws4_request"):
        key = _hmac(key, part)
    if not hmac.compare_digest(_hmac(key, to_sign).hex(), match["signature"]):
        raise Refused("SignatureDoesNotMatch", "the signature is not that of the secret that was handed out")
    if match["service"] != "s3":
        raise Refused("AuthorizationHeaderMalformed", "signed for another service")


def _check_time(stamp: str, date: str, now: datetime):
    when = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    if abs(now - when) > SKEW or not stamp.startswith(date):
        raise Refused("RequestTimeTooSkewed", "the time of the request is not now")
