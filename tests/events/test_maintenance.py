"""`event maintenance`: the schedule and its history."""

import json
import re
from datetime import timedelta

import pytest

from support.dates import now, parse_maintenance, rfc3339, span
from support.wait import until

SCHEDULED = "events/maintenance/scheduled"
HISTORY = "events/maintenance/history"
CODES = ["instance-reboot", "system-reboot", "system-maintenance", "instance-retirement", "instance-stop"]
# AWS's sample of one entry (reference 5.7), with its values left open.
SHAPE = re.compile(
    r'\[ \{\n  "NotBefore" : "([^"]+)",\n  "Code" : "([^"]+)",\n  "Description" : "([^"]+)",\n'
    r'  "EventId" : "(instance-event-[0-9a-f]{17})",\n  "NotAfter" : "([^"]+)",\n  "State" : "([a-z]+)"\n\} \]'
)


def entries(steered, path: str) -> list[dict]:
    return steered.json(path)


def ids(steered, path: str) -> list[str]:
    return [entry["EventId"] for entry in entries(steered, path)]


def test_without_events_both_lists_are_there_and_empty(steered):
    assert steered.meta(SCHEDULED) == steered.meta(HISTORY) == "[]"
    assert steered.menu("events/maintenance/") == ["history", "scheduled"]


def test_an_event_has_ec2s_shape(steered):
    with span() as done:
        steered.add("event", "maintenance", "--not-before", "1h", "--not-after", "2h")
    match = SHAPE.fullmatch(steered.meta(SCHEDULED))
    assert match, steered.meta(SCHEDULED)
    begin, code, description, _, end, state = match.groups()
    assert (code, description, state) == ("system-reboot", "scheduled reboot", "active")
    assert done.holds(parse_maintenance(begin), hours=1) and done.holds(parse_maintenance(end), hours=2)
    assert steered.meta(HISTORY) == "[]"


@pytest.mark.parametrize("code", CODES)
def test_every_code(steered, code):
    steered.add("event", "maintenance", "--code", code, "--not-before", "1h")
    (entry,) = entries(steered, SCHEDULED)
    assert entry["Code"] == code and entry["Description"] and "NotAfter" not in entry


def test_everything_that_can_be_said_of_one(steered):
    steered.add(
        *("event", "maintenance", "--code", "instance-stop", "--not-before", "1h", "--not-after", "3h"),
        *("--deadline", "2h", "--event-id", "instance-event-0d59937288b749b32", "--description", "old disks"),
    )
    (entry,) = entries(steered, SCHEDULED)
    assert set(entry) == {"NotBefore", "Code", "Description", "EventId", "NotAfter", "NotBeforeDeadline", "State"}
    assert entry["EventId"] == "instance-event-0d59937288b749b32"
    assert entry["Description"] == "old disks"
    hour = timedelta(hours=1)
    begin, deadline, end = (parse_maintenance(entry[key]) for key in ("NotBefore", "NotBeforeDeadline", "NotAfter"))
    assert (deadline - begin, end - deadline) == (hour, hour)


def test_a_day_ahead_unless_told(steered):
    with span() as done:
        steered.add("event", "maintenance")
    assert done.holds(parse_maintenance(entries(steered, SCHEDULED)[0]["NotBefore"]), days=1)


def test_it_is_listed_from_its_announcement_to_its_end_and_then_completed(steered):
    steered.add("event", "maintenance", "--in", "1s", "--not-before", "2s", "--not-after", "3s")
    assert steered.meta(SCHEDULED) == "[]"
    (entry,) = until(lambda: entries(steered, SCHEDULED), "the announcement")
    assert entry["State"] == "active"
    (over,) = until(lambda: entries(steered, HISTORY), "the end")
    assert steered.meta(SCHEDULED) == "[]"
    assert over == {**entry, "State": "completed", "Description": "[Completed] scheduled reboot"}
    assert [event["phase"] for event in steered.events()] == ["completed"]


@pytest.mark.parametrize(("how", "state"), [("--completed", "completed"), ("--canceled", "canceled")])
def test_it_ends_when_it_is_said_to(steered, how, state):
    steered.add("event", "maintenance", "--not-before", "1s", how, "2s")
    assert len(entries(steered, SCHEDULED)) == 1
    (over,) = until(lambda: entries(steered, HISTORY), "the end")
    assert (over["State"], over["Description"]) == (state, f"[{state.title()}] scheduled reboot")
    assert steered.meta(SCHEDULED) == "[]"


def test_several_at_once_by_their_start(steered):
    for number, begin in [(1, "3h"), (2, "1h"), (3, "2h")]:
        steered.add("event", "maintenance", "--not-before", begin, "--event-id", f"instance-event-{number}")
    assert ids(steered, SCHEDULED) == ["instance-event-2", "instance-event-3", "instance-event-1"]
    assert json.loads(steered.meta(SCHEDULED)), "valid JSON with several entries"
    first, second, third = (event["id"] for event in steered.events())
    assert steered.do("event", "clear", second) == "cleared: 1\n"
    assert steered.do("event", "clear", "--completed", third) == "cleared: 1\n"
    assert ids(steered, SCHEDULED) == ["instance-event-1"]
    assert ids(steered, HISTORY) == ["instance-event-2", "instance-event-3"]
    assert [entry["State"] for entry in entries(steered, HISTORY)] == ["canceled", "completed"]
    assert [(event["id"], event["phase"]) for event in steered.events()] == [
        (first, "in force"),
        (second, "canceled"),
        (third, "completed"),
    ]


def test_clear_without_ids_cancels_what_was_announced_and_forgets_the_rest(steered):
    steered.add("event", "maintenance", "--event-id", "instance-event-1")
    steered.add("event", "maintenance", "--event-id", "instance-event-2", "--in", "1h")
    assert steered.do("event", "clear") == "cleared: 2\n"
    assert ids(steered, HISTORY) == ["instance-event-1"]
    assert steered.do("event", "clear") == "cleared: 0\n", "what is over is not cleared again"
    assert ids(steered, HISTORY) == ["instance-event-1"]
    steered.do("event", "clear", "--history")
    assert steered.meta(HISTORY) == "[]" and steered.events() == []


def test_ids_are_made_up_differently(steered):
    for _ in range(5):
        steered.add("event", "maintenance")
    made = ids(steered, SCHEDULED)
    assert len(set(made)) == 5
    assert all(re.fullmatch(r"instance-event-0[0-9a-f]{16}", event_id) for event_id in made)
    taken = steered.refused("event", "maintenance", "--event-id", made[0])
    assert made[0] in taken and "give one of its own" in taken


def test_absolute_times_and_days_of_one_digit(steered):
    # The fifth of the month after next is ahead whatever today is.
    begin = (now().replace(day=1) + timedelta(days=62)).replace(day=5, microsecond=0)
    end = begin + timedelta(hours=2)
    steered.add("event", "maintenance", "--not-before", rfc3339(begin), "--not-after", rfc3339(end))
    (entry,) = entries(steered, SCHEDULED)
    assert (parse_maintenance(entry["NotBefore"]), parse_maintenance(entry["NotAfter"])) == (begin, end)
