#!/usr/bin/env python3
"""A stand-in for S3 that knows one caller: whoever signs with the credentials the metadata service hands out.

`s3.py ROLE [METADATA_URL]` reads that role's credentials as an IMDSv2 client, prints `listening on PORT`, and then
answers GET / (ListBuckets), PUT and GET of objects, each only when its signature is that of those credentials.
Runs with the system's Python and nothing else, because it runs inside a network namespace.
"""

import json
import sys
import urllib.request
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support.sigv4 import Refused, verify  # noqa: E402

BUCKET = "signed-with-the-role-of-this-instance"
LIST = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Owner><ID>0</ID></Owner><Buckets><Bucket><Name>%s</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate>"
    "</Bucket></Buckets></ListAllMyBucketsResult>" % BUCKET
)
ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>'


def handed_out(role: str, url: str) -> dict[str, str]:
    """The credentials of the role, as the metadata service gives them to anybody on this machine."""
    put = urllib.request.Request(
        url + "/latest/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    )
    with urllib.request.urlopen(put, timeout=5) as reply:
        token = reply.read().decode()
    path = "/latest/meta-data/iam/security-credentials/" + role
    get = urllib.request.Request(url + path, headers={"X-aws-ec2-metadata-token": token})
    with urllib.request.urlopen(get, timeout=5) as reply:
        return json.load(reply)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    credentials: dict[str, str] = {}
    objects: dict[str, bytes] = {}

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            verify(self.command, self.path, headers, body, self.credentials, datetime.now(timezone.utc))
        except Refused as why:
            return self.reply(403, (ERROR % (why.code, why.message)).encode())
        path = self.path.partition("?")[0]
        if self.command == "PUT":
            self.objects[path] = body
            return self.reply(200, b"")
        if path == "/":
            return self.reply(200, LIST.encode())
        if path in self.objects:
            return self.reply(200, self.objects[path], "application/octet-stream")
        self.reply(404, (ERROR % ("NoSuchKey", "no such key")).encode())

    do_GET = do_PUT = do_HEAD = do_POST = handle_any

    def reply(self, status: int, body: bytes, kind: str = "application/xml"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    role, url = sys.argv[1], (sys.argv[2:] or ["http://169.254.169.254"])[0]
    Handler.credentials = handed_out(role, url)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
