"""Stand-ins for an upstream metadata service that misbehaves in ways a real one cannot be made to.

Everything that a real service does is tested against a real one: a second daemon.
"""

import socket
import struct
import threading
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def reply(status: str, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """The bytes of a reply."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


TOKEN = reply("200 OK", b"standin-token==", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600")


class StandInUpstream:
    """Answers each request with what `answer(asked)` says: bytes to send, or a function of the socket that does
    whatever it likes, after which the connection is closed. `put` answers requests for a session token."""

    def __init__(self, answer, put=TOKEN):
        self.answer = answer
        self.put = put
        self.asked: list[Asked] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        # Wakes accept, which closing alone does not.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def read(self, method: str = "GET") -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]

    def _accept(self):
        while not self.closing.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open += 1
                self.most_open = max(self.most_open, self.open)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket):
        try:
            with connection:
                self._talk(connection)
        except OSError:
            pass  # the other side went away, which is its right
        finally:
            with self.lock:
                self.open -= 1

    def _talk(self, connection: socket.socket):
        buffer = b""
        while not self.closing.is_set():
            while b"\r\n\r\n" not in buffer:
                data = connection.recv(65536)
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            asked = Asked(method, target, [tuple(line.split(": ", 1)) for line in lines])
            self.asked.append(asked)
            answer = self.put if method == "PUT" else self.answer
            if callable(answer) and method != "PUT":
                answer = answer(asked)
            if callable(answer):
                answer(connection)
                return
            connection.sendall(answer)
            if b"Connection: close" in answer:
                return


def hang(connection: socket.socket):
    """Says nothing until the other side goes."""
    while connection.recv(65536):
        pass


def reset(connection: socket.socket):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def sends(data: bytes, then=None):
    """Sends bytes that are no reply, or half of one, and goes on with `then`."""

    def behave(connection: socket.socket):
        connection.sendall(data)
        if then:
            then(connection)

    return behave


def for_ever(head: bytes, piece: bytes):
    """Sends a head, and then pieces without end."""

    def behave(connection: socket.socket):
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return behave
