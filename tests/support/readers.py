#!/usr/bin/env python3
"""Readers that notice a mixed state: `readers.py HOST PORT CONNECTIONS`, until standard input ends.

Whoever steers the daemon counts, and each of his changes writes its number everywhere at once: into two leaves, the
user data, and the names of two tags; two more leaves are there for every other number. So a reader that goes from one
to the next over its kept connection can only see numbers that do not fall, and each listing whole. The first reader
that sees anything else ends the program with exit code 1 and says what; otherwise it prints a line of JSON.
"""

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support.wire import Connection, request_bytes  # noqa: E402

ROOT = "/latest/meta-data/"


class Mixed(Exception):
    """What no instance would have shown at any one moment."""


class Reader:
    def __init__(self, address):
        self.connection = Connection(address, timeout=60)
        self.last = 0
        self.reads = 0
        self.states = set()
        answer = self._ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.token = answer.text

    def _ask(self, method: str, path: str, header: str, value: str):
        self.connection.send(request_bytes(method, path, {header: value, "Connection": "keep-alive"}))
        self.reads += 1
        return self.connection.answer()

    def read(self, path: str, absent: bool = False) -> str | None:
        answer = self._ask("GET", path, "X-aws-ec2-metadata-token", self.token)
        if answer.status == 404 and absent:
            return None
        if answer.status != 200:
            raise Mixed(f"{path}: {answer.status} {answer.reason}")
        if answer.get("Content-Length") != str(len(answer.body)):
            raise Mixed(f"{path}: a body of {len(answer.body)} bytes, said to have {answer.get('Content-Length')}")
        return answer.text

    def number(self, path: str, text: str):
        """A number that was read: never less than what was read before."""
        number = int(text)
        if number < self.last:
            raise Mixed(f"{path}: {number} after {self.last}")
        self.last = number
        self.states.add(number)

    def round(self):
        for path in (ROOT + "pair/left", "/latest/user-data", ROOT + "pair/right"):
            self.number(path, self.read(path))
        names = self.read(ROOT + "tags/instance/").split("\n")
        numbers = {name.rpartition("-")[2] for name in names}
        if len(numbers) != 1 or [name.partition("-")[0] for name in names] != ["left", "right"]:
            raise Mixed(f"tags/instance/: {names}")
        self.number("tags/instance/", numbers.pop())
        both = self.read(ROOT + "some/", absent=True)
        if both not in (None, "one\ntwo"):
            raise Mixed(f"some/: {both!r}")
        if self.read(ROOT + "pair/") != "left\nright":
            raise Mixed("pair/")
        self.number("pair/left", self.read(ROOT + "pair/left"))


def main():
    address, count = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3])
    stop = threading.Event()
    readers = [Reader(address) for _ in range(count)]
    wrong: list[str] = []

    def run(reader: Reader):
        try:
            while not stop.is_set():
                reader.round()
        except Exception as error:  # whatever it is, the test must know
            wrong.append(f"{type(error).__name__}: {error}")
            stop.set()

    threads = [threading.Thread(target=run, args=(reader,), daemon=True) for reader in readers]
    for thread in threads:
        thread.start()
    print("reading", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    for thread in threads:
        thread.join()
    if wrong:
        print(wrong[0], file=sys.stderr)
        sys.exit(1)
    reads, states = sum(reader.reads for reader in readers), set.union(*(reader.states for reader in readers))
    print(json.dumps({"readers": count, "reads": reads, "least": min(r.reads for r in readers), "states": len(states)}))


if __name__ == "__main__":
    main()
