"""The daemon's control API without the command line between: HTTP with JSON on a Unix socket, one kept connection."""

import http.client
import json
import socket


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Refused(Exception):
    """An answer other than 200, with its status and the daemon's reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class Control:
    """`ask` sends a request and returns the JSON value that came back."""

    def __init__(self, daemon):
        self.connection = _Connection(str(daemon.control))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, method: str, path: str, body=None):
        self.connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = self.connection.getresponse()
        value = json.loads(answer.read())
        if answer.status != 200:
            raise Refused(answer.status, value["error"])
        return value

    def change(self, changes: list[dict], **more):
        """Live changes, all or none: the body of `POST /v1/changes`."""
        return self.ask("POST", "/v1/changes", {"changes": changes, **more})
