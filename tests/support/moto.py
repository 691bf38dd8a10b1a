"""moto's server, a real STS to talk to, and a relay in front of it that counts, and plays an STS in trouble."""

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .daemon import clean_environment
from .wait import until

RUNNING = re.compile(r"Running on https?://127\.0\.0\.1:(\d+)")
KEY_ID = re.compile(r"Credential=([A-Z0-9]+)/")


class Moto:
    """`moto_server` on a port that it chooses. `prefix` runs it through another program (nsenter); with `tls`, a
    certificate's file and its key's, it is asked by https."""

    def __init__(self, folder: Path, prefix: tuple[str, ...] = (), tls: tuple[Path, Path] | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "moto.log"
        program = Path(sys.executable).parent / "moto_server"
        assert program.exists(), f"{program} is missing: run the tests with tests/run"
        self.scheme = "https" if tls else "http"
        encrypted = ("--ssl", "--ssl-cert", str(tls[0]), "--ssl-key", str(tls[1])) if tls else ()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*prefix, "setpriv", "--pdeathsig", "KILL", "--", str(program), "-H", "127.0.0.1", "-p", "0", *encrypted],
                env=clean_environment(folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.port = int(until(self._running, "moto_server runs", 60)[1])

    def _running(self):
        text = self.log.read_text()
        assert self.process.poll() is None, f"moto_server ended:\n{text}"
        return RUNNING.search(text)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def close(self):
        self.process.kill()
        self.process.wait()


class Sts:
    """A relay to moto's STS. It remembers every call, and answers as an STS in trouble when it is told to."""

    def __init__(self, moto: Moto):
        self.moto = moto
        self.calls: list[dict[str, str]] = []
        # Bodies of answers, which hold the secrets that moto made.
        self.answers: list[str] = []
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()
        self.heal()
        self.port = 0
        self.start()

    def heal(self):
        """Answers as moto does from now on."""
        self.delay = 0.0
        self.status = None
        self.body = None
        self.lifetime = None

    def start(self):
        """Listens, on the port that it had before where it had one."""
        sts = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                sts.open.add(self.connection)

            def finish(self):
                sts.open.discard(self.connection)
                super().finish()

            def do_POST(self):
                sts._answer(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        """Nothing listens any more: connections are refused, and those that are open end."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def actions(self) -> list[str]:
        with self.lock:
            return [call["Action"] for call in self.calls]

    def last(self, action: str) -> dict[str, str]:
        """The parameters of the last call of an action; `KeyId` is the access key that signed it."""
        with self.lock:
            return next(call for call in reversed(self.calls) if call["Action"] == action)

    def secrets(self) -> set[str]:
        """Every secret key and session token that was handed out."""
        found = set()
        for answer in self.answers:
            found |= set(re.findall(r"<(?:SecretAccessKey|SessionToken)>([^<]+)<", answer))
        return found

    def _answer(self, request: BaseHTTPRequestHandler):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        signed = KEY_ID.search(request.headers.get("Authorization", ""))
        call = dict(urllib.parse.parse_qsl(body.decode()))
        call["KeyId"] = signed[1] if signed else ""
        with self.lock:
            self.calls.append(call)
            delay, status, garbage, lifetime = self.delay, self.status, self.body, self.lifetime
        time.sleep(delay)
        if status is None and garbage is None:
            status, headers, answer = self._relay(request, body)
            if lifetime is not None:
                answer = self._expire(answer, lifetime)
            with self.lock:
                self.answers.append(answer.decode())
        else:
            status, headers, answer = status or 200, {"Content-Type": "text/xml"}, (garbage or "").encode()
        try:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            request.wfile.write(answer)
        except OSError:
            request.close_connection = True

    def _relay(self, request: BaseHTTPRequestHandler, body: bytes):
        connection = HTTPConnection("127.0.0.1", self.moto.port, timeout=30)
        skipped = {"connection", "content-length"}
        headers = {name: value for name, value in request.headers.items() if name.lower() not in skipped}
        connection.request("POST", request.path, body, headers)
        reply = connection.getresponse()
        answer = reply.read()
        connection.close()
        return reply.status, {"Content-Type": reply.headers.get("Content-Type", "text/xml")}, answer

    @staticmethod
    def _expire(answer: bytes, lifetime: float) -> bytes:
        end = (datetime.now(timezone.utc) + timedelta(seconds=lifetime)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return re.sub(rb"<Expiration>[^<]*<", f"<Expiration>{end}<".encode(), answer)


def error_of_sts(code: str, message: str) -> str:
    """The body of STS's own errors."""
    return f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>
  <RequestId>00000000-0000-0000-0000-000000000000</RequestId>
</ErrorResponse>"""
