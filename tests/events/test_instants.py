"""While events become due every listing and leaf agrees at every instant."""

import json
import threading

from support.wait import until
from support.wire import Connection, request_bytes

MENUS = {
    "spot/instance-action": ("spot/", "instance-action"),
    "spot/termination-time": ("spot/", "termination-time"),
    "events/recommendations/rebalance": ("events/recommendations/", "rebalance"),
    "autoscaling/target-lifecycle-state": ("autoscaling/", "target-lifecycle-state"),
}
TIMELINE = "".join(
    f'[[events]]\nkind = "{kind}"\nin = "{wait}"\n{more}\n'
    for kind, wait, more in [
        ("spot", "121s", ""),
        ("rebalance", "1300ms", ""),
        ("lifecycle", "1600ms", 'state = "Terminated"'),
        *[
            ("maintenance", "900ms", f'code = "system-reboot"\nnot-before = "1s"\nnot-after = "{1100 + 20 * n}ms"\n')
            for n in range(40)
        ],
    ]
)


class Reader(threading.Thread):
    """Reads over one kept connection and compares, again and again, until told to stop."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.connection = Connection(daemon.address)
        self.stop = threading.Event()
        self.error = None
        self.rounds = 0
        self.seen: set[str] = set()

    def get(self, path: str) -> str | None:
        self.connection.send(request_bytes("GET", "/latest/meta-data/" + path, {"Connection": "keep-alive"}))
        answer = self.connection.answer()
        assert answer.status in (200, 404), (path, answer)
        return answer.text if answer.status == 200 else None

    def menu(self, path: str) -> list[str]:
        return (self.get(path) or "").split("\n")

    def round(self):
        # What has appeared stays, so whatever is found later must contain what was found before.
        for path, (folder, name) in MENUS.items():
            parent, _, below = folder.rstrip("/").rpartition("/")
            if below + "/" in self.menu(parent + "/" if parent else ""):
                assert self.menu(folder) != [""], f"{folder} is listed and is not there"
            if name in self.menu(folder):
                assert self.get(path) is not None, f"{path} is listed and is not there"
            if self.get(path) is not None:
                self.seen.add(path)
                assert name in self.menu(folder), f"{path} is there and not listed"
                assert below + "/" in self.menu(parent + "/" if parent else ""), f"{folder} is there and not listed"
        action, time = self.get("spot/instance-action"), self.get("spot/termination-time")
        assert action is None or json.loads(action)["time"] == time, "one is there without the other"
        assert time is None or self.get("instance-life-cycle") == "spot"
        # An event leaves the schedule for the history at one moment.
        scheduled, history = self.get("events/maintenance/scheduled"), self.get("events/maintenance/history")
        ids = [{event["EventId"] for event in json.loads(text)} for text in (scheduled, history)]
        if self.announced:
            assert len(ids[0] | ids[1]) == 40, "an event is in neither list"
        self.announced = self.announced or bool(ids[0])
        self.over = len(ids[1]) == 40
        self.rounds += 1

    announced = False
    over = False

    def run(self):
        try:
            while not self.stop.is_set():
                self.round()
            self.round()
        except BaseException as error:  # handed to the test
            self.error = error


def test_listings_and_leaves_agree_while_events_become_due(steered, tmp_path):
    file = tmp_path / "timeline.toml"
    file.write_text(TIMELINE)
    readers = [Reader(steered.daemon) for _ in range(8)]
    for reader in readers:
        reader.start()
    steered.do("event", "script", str(file))
    try:
        until(lambda: all((r.over and len(r.seen) == len(MENUS)) or r.error for r in readers), "all events", 30)
    finally:
        for reader in readers:
            reader.stop.set()
            reader.join(10)
            reader.connection.close()
    assert [reader.error for reader in readers if reader.error] == []
    assert min(reader.rounds for reader in readers) > 3
