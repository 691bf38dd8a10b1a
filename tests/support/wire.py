"""An HTTP client that hides nothing: it sends the bytes it is given and hands back the bytes that came.

HTTP libraries lower-case names, merge repeated headers and forgive; the replies of the metadata service are
compared byte by byte, in order, so nothing of that kind may stand in between.
"""

import socket
from dataclasses import dataclass, field

TIMEOUT = 10.0
TTL_HEADER = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"


@dataclass
class Answer:
    """One reply as it stood on the wire."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    raw_head: bytes = field(default=b"", repr=False)

    @property
    def names(self) -> list[str]:
        """The header names in order, in the case they were sent."""
        return [name for name, _ in self.headers]

    def get(self, name: str) -> str | None:
        """The value of the header of exactly this name and case; a repeated one is an error."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} was sent {len(values)} times: {self.headers}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


class Closed(Exception):
    """The server closed the connection before a whole reply had come; `received` is what came."""

    def __init__(self, received: bytes):
        super().__init__(f"closed after {len(received)} bytes: {received[:200]!r}")
        self.received = received


class Connection:
    """One TCP connection, with the bytes that are read but not yet part of a reply."""

    def __init__(self, address: tuple, timeout: float = TIMEOUT, source: str | None = None):
        self.socket = socket.create_connection(address[:2], timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data: bytes):
        self.socket.sendall(data)

    def reset(self):
        """Ends the connection with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def answer(self, method: str = "GET") -> Answer:
        """Reads exactly one reply; `method` is that of the request, because HEAD has no body."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                raise Closed(self.buffer)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        answer = parse_head(head)
        length = 0 if method == "HEAD" else int(answer.get("Content-Length") or answer.get("content-length") or 0)
        while len(self.buffer) < length:
            if not self._more():
                raise Closed(head + b"\r\n\r\n" + self.buffer)
        answer.body, self.buffer = self.buffer[:length], self.buffer[length:]
        return answer

    def rest(self) -> bytes:
        """Everything until the server closes; a server that does not close within the timeout is an error."""
        while self._more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def silent(self, seconds: float) -> bool:
        """Whether nothing at all, neither a byte nor a close, comes within so many seconds."""
        self.socket.settimeout(seconds)
        try:
            self.buffer += self.socket.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT)


def parse_head(head: bytes) -> Answer:
    """Parses a reply's head, refusing anything but the strict form `Name: value`."""
    lines = head.decode("latin-1").split("\r\n")
    version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(": ")
        assert colon and name and name == name.strip(), f"malformed header line {line!r}"
        headers.append((name, value))
    return Answer(version, int(status), reason, headers, raw_head=head)


def request_bytes(method: str, target: str, headers=(), host: str | None = "169.254.169.254", body: bytes = b"") -> bytes:
    """An HTTP/1.1 request with exactly these headers, Host first (None: no Host)."""
    lines = [f"{method} {target} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    pairs = headers.items() if isinstance(headers, dict) else headers
    lines += [f"{name}: {value}" for name, value in pairs]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def exchange(address, method: str, target: str, headers=(), host="169.254.169.254", body: bytes = b"") -> Answer:
    """One request on a connection of its own, which the server has to close when its reply says so."""
    with Connection(address) as connection:
        connection.send(request_bytes(method, target, headers, host, body))
        answer = connection.answer(method)
        if answer.get("Connection") == "close":
            rest = connection.rest()
            assert rest == b"", f"{len(rest)} bytes after the reply: {rest[:100]!r}"
        return answer


class Imds:
    """The requests of an ordinary client, each on its own connection."""

    def __init__(self, address):
        self.address = address

    def put(self, ttl: str | int | None = 21600, path: str = "/latest/api/token", headers=()) -> Answer:
        pairs = [("X-aws-ec2-metadata-token-ttl-seconds", str(ttl))] if ttl is not None else []
        return exchange(self.address, "PUT", path, pairs + list(headers))

    def token(self, ttl: int = 21600) -> str:
        answer = self.put(ttl)
        assert answer.status == 200, answer
        return answer.text

    def get(self, path: str, token: str | None = None, headers=(), method: str = "GET", **more) -> Answer:
        pairs = [("X-aws-ec2-metadata-token", token)] if token is not None else []
        return exchange(self.address, method, path, pairs + list(headers), **more)

    def text(self, path: str) -> str:
        """The value at a path, read as an IMDSv2 client reads it."""
        answer = self.get(path, self.token())
        assert answer.status == 200, f"{path}: {answer.status}"
        return answer.text

    def meta(self, path: str) -> str:
        return self.text("/latest/meta-data/" + path)
