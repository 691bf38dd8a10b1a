"""A node-termination watcher sees each event exactly once, whatever else happens to the service meanwhile."""

from support.wait import until
from support.watcher import Watcher, Watching

TIMELINE = """
[[events]]
kind = "lifecycle"
state = "InService"
in = "500ms"

[[events]]
kind = "rebalance"
in = "1s"

[[events]]
kind = "maintenance"
code = "system-reboot"
event-id = "instance-event-1"
in = "1s"
not-before = "2s"
not-after = "3s"

[[events]]
kind = "maintenance"
code = "instance-stop"
event-id = "instance-event-2"
in = "1500ms"
not-before = "1h"

[[events]]
kind = "spot"
in = "122s"

[[events]]
kind = "lifecycle"
state = "Terminated"
in = "4s"
"""
KINDS = ["state", "rebalance", "maintenance", "maintenance", "spot", "state"]


def script(steered, tmp_path) -> None:
    file = tmp_path / "timeline.toml"
    file.write_text(TIMELINE)
    steered.do("event", "script", str(file))


def assert_timeline(watcher: Watcher):
    assert sorted(watcher.kinds()) == sorted(KINDS), watcher.told
    assert [what[1] for what in watcher.told if what[0] == "maintenance"] == ["instance-event-1", "instance-event-2"]
    assert [what[1] for what in watcher.told if what[0] == "state"] == ["InService", "Terminated"]
    assert watcher.kinds()[0] == "state" and watcher.told[-1] == ("state", "Terminated")


def test_nothing_is_seen_while_nothing_happens(steer):
    steered = steer('tokens = "required"\n')
    with Watching(Watcher(steered.daemon)) as watcher:
        until(lambda: watcher.polls >= 100, "a hundred polls")
    assert watcher.told == [] and watcher.tokens_asked == 1


def test_each_event_of_a_timeline_is_seen_once(steer, tmp_path):
    steered = steer('tokens = "required"\n')
    with Watching(Watcher(steered.daemon)) as watcher:
        script(steered, tmp_path)
        until(lambda: ("state", "Terminated") in watcher.told, "the end of the timeline")
    assert_timeline(watcher)
    spot = next(what for what in watcher.told if what[0] == "spot")
    event = next(event for event in steered.events() if event["kind"] == "spot")
    assert spot == ("spot", "terminate", event["time"])


def test_each_event_is_seen_once_while_the_service_is_steered(steer, tmp_path):
    """Reloads, live changes, forgotten tokens and faults of other paths in the middle of it."""
    steered = steer('tokens = "required"\n')
    with Watching(Watcher(steered.daemon)) as watcher:
        script(steered, tmp_path)
        number = 0

        def over():
            nonlocal number
            number += 1
            steered.do("set", "probe", str(number))
            steered.do("tags", "set", "number", str(number))
            steered.do("fault", "add", "forget-tokens")
            steered.do("fault", "add", "status", "500", "--path", "iam/*", "--times", "1")
            steered.do("reload")
            return ("state", "Terminated") in watcher.told

        until(over, "the end of the timeline")
    assert_timeline(watcher)
    assert watcher.tokens_asked > 3, "tokens were forgotten"


def test_each_event_given_by_hand_is_seen_once(steered):
    with Watching(Watcher(steered.daemon)) as watcher:
        for argv in (
            ("spot", "--action", "stop"),
            ("rebalance",),
            ("maintenance", "--event-id", "instance-event-1"),
            ("maintenance", "--event-id", "instance-event-2"),
            ("lifecycle", "Terminated"),
        ):
            seen = len(watcher.told)
            steered.add("event", *argv)
            until(lambda: len(watcher.told) == seen + 1, f"{argv} is seen")
        polls = watcher.polls
        until(lambda: watcher.polls >= polls + 20, "twenty more polls")
        steered.do("event", "clear")
    assert watcher.kinds() == ["spot", "rebalance", "maintenance", "maintenance", "state"]


def test_a_watcher_that_starts_late_sees_what_is_in_force(steered):
    steered.add("event", "spot")
    steered.add("event", "maintenance")
    steered.do("event", "clear", "maintenance-2")
    steered.add("event", "rebalance", "--in", "1h")
    with Watching(Watcher(steered.daemon)) as watcher:
        until(lambda: watcher.polls >= 3, "three polls")
    assert watcher.kinds() == ["spot"]
