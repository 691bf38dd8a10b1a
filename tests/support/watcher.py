"""A node-termination watcher as such tools poll, aws-node-termination-handler above all (reference 6.8).

IMDSv2 with a token that is renewed when it is refused, 404 means that there is nothing, anything else is an error. What
it has told once, by what identifies it, is not told again.
"""

import json
import threading

from .wire import Connection, request_bytes

SPOT = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
SCHEDULED = "events/maintenance/scheduled"
STATE = "autoscaling/target-lifecycle-state"


class Watcher:
    """`poll` asks once for everything; `told` is what was seen, in order, each once."""

    def __init__(self, daemon):
        self.address = daemon.address
        self.token = None
        self.tokens_asked = 0
        self.polls = 0
        self.told: list[tuple] = []

    def _exchange(self, connection: Connection, method: str, path: str, header: str, value: str):
        headers = {header: value, "Connection": "keep-alive"}
        connection.send(request_bytes(method, path, headers))
        return connection.answer()

    def _renew(self, connection: Connection):
        answer = self._exchange(connection, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "3600")
        assert answer.status == 200 and answer.get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") == "3600", answer
        self.token = answer.text
        self.tokens_asked += 1

    def read(self, connection: Connection, path: str) -> str | None:
        """The value at a path below meta-data, None for a 404."""
        for _ in range(3):
            if self.token is None:
                self._renew(connection)
            answer = self._exchange(connection, "GET", "/latest/meta-data/" + path, "X-aws-ec2-metadata-token", self.token)
            if answer.status != 401:
                break
            self.token = None
        assert answer.status in (200, 404), (path, answer)
        return answer.text if answer.status == 200 else None

    def _tell(self, *what):
        if what not in self.told:
            self.told.append(what)

    def poll(self, connection: Connection):
        """One round over the four paths."""
        if (text := self.read(connection, SPOT)) is not None:
            action = json.loads(text)
            self._tell("spot", action["action"], action["time"])
        if (text := self.read(connection, REBALANCE)) is not None:
            self._tell("rebalance", json.loads(text)["noticeTime"])
        text = self.read(connection, SCHEDULED)
        assert text is not None, "the schedule is always there"
        for event in json.loads(text):
            assert event["State"] == "active", event
            self._tell("maintenance", event["EventId"], event["Code"], event["NotBefore"])
        if (state := self.read(connection, STATE)) is not None:
            self._tell("state", state)
        self.polls += 1

    def kinds(self) -> list[str]:
        return [what[0] for what in self.told]


class Watching:
    """A watcher that polls on a thread, over and over, until the block ends; its error is the block's."""

    def __init__(self, watcher: Watcher):
        self.watcher = watcher
        self.error = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            with Connection(self.watcher.address) as connection:
                while not self.stop.is_set():
                    self.watcher.poll(connection)
                self.watcher.poll(connection)
        except BaseException as error:  # handed to the block below
            self.error = error

    def __enter__(self) -> Watcher:
        self.thread.start()
        return self.watcher

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
