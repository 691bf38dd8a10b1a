"""A stand-in for IAM Identity Center, which moto does not serve: the operations of `sso` and `sso-oidc` that a login
and its credentials take, by AWS's API references. What it hands out are real sessions of moto's STS."""

import hashlib
import json
import threading
import time
import urllib.parse
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3

START_URL = "https://example.awsapps.com/start"


class StandInSso:
    """Both services on one port. `approve()` is the person who enters the code in a browser."""

    def __init__(self, moto):
        self.moto = moto
        self.calls: list[str] = []
        self.approved = threading.Event()
        self.access_tokens: set[str] = set()
        self.refresh_tokens: set[str] = set()
        self.clients: set[tuple[str, str]] = set()
        self.device_codes: set[str] = set()
        self.user_code = "ABCD-EFGH"
        self.made = 0
        self.secrets: set[str] = set()
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                standin._serve(self, b"")

            def do_POST(self):
                standin._serve(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def profile(self, name: str = "sso", account: str = "111122223333", role: str = "Developer") -> str:
        """The sections of an AWS config file that lead a profile here."""
        return f"""
[profile {name}]
sso_session = work
sso_account_id = {account}
sso_role_name = {role}
region = us-east-1
services = here
[sso-session work]
sso_start_url = {START_URL}
sso_region = us-east-1
sso_registration_scopes = sso:account:access
[services here]
sso =
  endpoint_url = {self.url}
sso_oidc =
  endpoint_url = {self.url}
"""

    def log_in(self, home: Path, lasting: float = 8 * 3600) -> Path:
        """Writes the login that `aws sso login` would leave in a home folder."""
        cache = home / ".aws" / "sso" / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        file = cache / (hashlib.sha1(b"work").hexdigest() + ".json")
        client = self._client()
        login = {
            "startUrl": START_URL,
            "region": "us-east-1",
            "accessToken": self._access_token(),
            "expiresAt": stamp(lasting),
            "clientId": client["clientId"],
            "clientSecret": client["clientSecret"],
            "registrationExpiresAt": stamp(90 * 86400),
            "refreshToken": self._refresh_token(),
        }
        file.write_text(json.dumps(login))
        return file

    def approve(self):
        self.approved.set()

    def end_sessions(self):
        """What an administrator can do: no login counts any more, and none can be renewed."""
        self.access_tokens.clear()
        self.refresh_tokens.clear()

    def _secret(self, kind: str) -> str:
        self.made += 1
        secret = f"{kind}-{self.made}-" + hashlib.sha256(f"{kind}{self.made}".encode()).hexdigest()
        self.secrets.add(secret)
        return secret

    def _access_token(self) -> str:
        token = self._secret("access")
        self.access_tokens.add(token)
        return token

    def _refresh_token(self) -> str:
        token = self._secret("refresh")
        self.refresh_tokens.add(token)
        return token

    def _client(self) -> dict:
        client = (self._secret("client"), self._secret("clientsecret"))
        self.clients.add(client)
        now = int(time.time())
        return {
            "clientId": client[0],
            "clientSecret": client[1],
            "clientIdIssuedAt": now,
            "clientSecretExpiresAt": now + 90 * 86400,
        }

    def _serve(self, request: BaseHTTPRequestHandler, body: bytes):
        path, _, query = request.path.partition("?")
        given = json.loads(body) if body else dict(urllib.parse.parse_qsl(query))
        operations = {
            ("GET", "/federation/credentials"): self._get_role_credentials,
            ("POST", "/client/register"): self._register_client,
            ("POST", "/device_authorization"): self._start_device_authorization,
            ("POST", "/token"): self._create_token,
        }
        operation = operations.get((request.command, path))
        self.calls.append(path)
        try:
            if operation is None:
                raise Refused(404, "UnknownOperationException", path)
            status, kind, answer = 200, None, operation(given, request.headers)
        except Refused as refused:
            status, kind = refused.status, refused.kind
            answer = {"error": refused.kind, "error_description": refused.message, "message": refused.message}
        text = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(text)))
        if kind:
            request.send_header("x-amzn-ErrorType", kind)
        request.end_headers()
        request.wfile.write(text)

    def _get_role_credentials(self, given: dict, headers) -> dict:
        if headers.get("x-amz-sso_bearer_token") not in self.access_tokens:
            raise Refused(401, "UnauthorizedException", "Session token not found or invalid")
        sts = boto3.client(
            "sts", endpoint_url=self.moto.url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        role = f"AWSReservedSSO_{given['role_name']}_0123456789abcdef"
        arn = f"arn:aws:iam::{given['account_id']}:role/aws-reserved/sso.amazonaws.com/{role}"
        got = sts.assume_role(RoleArn=arn, RoleSessionName="ann")["Credentials"]
        self.secrets |= {got["SecretAccessKey"], got["SessionToken"]}
        return {
            "roleCredentials": {
                "accessKeyId": got["AccessKeyId"],
                "secretAccessKey": got["SecretAccessKey"],
                "sessionToken": got["SessionToken"],
                "expiration": int(got["Expiration"].timestamp() * 1000),
            }
        }

    def _register_client(self, given: dict, _headers) -> dict:
        if given.get("clientType") != "public" or not given.get("clientName"):
            raise Refused(400, "InvalidClientMetadataException", "clientName and clientType = public are required")
        return self._client()

    def _start_device_authorization(self, given: dict, _headers) -> dict:
        self._known_client(given)
        if given.get("startUrl") != START_URL:
            raise Refused(400, "InvalidRequestException", "startUrl")
        code = self._secret("device")
        self.device_codes.add(code)
        return {
            "deviceCode": code,
            "userCode": self.user_code,
            "verificationUri": f"{START_URL}/#/device",
            "verificationUriComplete": f"{START_URL}/#/device?user_code={self.user_code}",
            "expiresIn": 600,
            "interval": 1,
        }

    def _create_token(self, given: dict, _headers) -> dict:
        self._known_client(given)
        if given.get("grantType") == "refresh_token":
            if given.get("refreshToken") not in self.refresh_tokens:
                raise Refused(400, "InvalidGrantException", "Invalid refresh token provided")
            # Good for one use.
            self.refresh_tokens.remove(given["refreshToken"])
        elif given.get("grantType") == "urn:ietf:params:oauth:grant-type:device_code":
            if given.get("deviceCode") not in self.device_codes:
                raise Refused(400, "InvalidGrantException", "Invalid device code provided")
            if not self.approved.is_set():
                raise Refused(400, "AuthorizationPendingException", "authorization is pending")
        else:
            raise Refused(400, "UnsupportedGrantTypeException", str(given.get("grantType")))
        return {
            "accessToken": self._access_token(),
            "tokenType": "Bearer",
            "expiresIn": 8 * 3600,
            "refreshToken": self._refresh_token(),
        }

    def _known_client(self, given: dict):
        if (given.get("clientId"), given.get("clientSecret")) not in self.clients:
            raise Refused(401, "InvalidClientException", "Invalid client provided")


class Refused(Exception):
    def __init__(self, status: int, kind: str, message: str):
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def stamp(seconds: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
