"""`event spot`: the interruption of a spot instance, from its notice on."""

import json
from datetime import timedelta

import pytest

from support.dates import now, parse, rfc3339, span
from support.wait import until

ACTION = "spot/instance-action"
TERMINATION = "spot/termination-time"


def test_without_an_event_there_is_no_spot_instance(steered):
    assert steered.meta("instance-life-cycle") == "on-demand"
    assert steered.get("spot/").status == steered.get(ACTION).status == steered.get(TERMINATION).status == 404
    assert "spot/" not in steered.menu()
    assert steered.do("event", "list") == "no events\n"
    assert steered.events() == []


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_now_gives_the_notice_at_once_in_ec2s_shape(steered, action):
    with span() as done:
        assert steered.add("event", "spot", "--action", action, "--in", "10m", "--now") == "spot-1"
    body = steered.meta(ACTION)
    document = json.loads(body)
    assert body == '{"action": "%s", "time": "%s"}' % (action, document["time"])
    assert done.holds(parse(document["time"]), minutes=10)
    assert steered.meta("instance-life-cycle") == "spot"
    assert "spot/" in steered.menu()
    if action == "terminate":
        assert steered.meta(TERMINATION) == document["time"]
        assert steered.menu("spot/") == ["instance-action", "termination-time"]
    else:
        assert steered.meta(TERMINATION) is None
        assert steered.menu("spot/") == ["instance-action"]


def test_the_action_is_terminate_and_the_time_in_two_minutes_unless_told(steered):
    with span() as done:
        steered.add("event", "spot")
    document = steered.json(ACTION)
    assert document["action"] == "terminate"
    assert done.holds(parse(document["time"]), minutes=2)


@pytest.mark.parametrize("action", ["terminate", "stop"])
def test_the_notice_comes_two_minutes_before(steered, action):
    with span() as done:
        steered.add("event", "spot", "--action", action, "--in", "122s")
    assert steered.meta(ACTION) is None and "spot/" not in steered.menu()
    assert steered.meta("instance-life-cycle") == "spot"
    (event,) = steered.events()
    assert (event["phase"], event["action"]) == ("due", action)
    assert done.holds(parse(event["notice"]), seconds=2) and done.holds(parse(event["time"]), seconds=122)
    document = until(lambda: steered.json(ACTION), "the notice")
    seen = now()
    assert document == {"action": action, "time": event["time"]}
    assert seen >= done.begin + timedelta(seconds=2)
    assert steered.events()[0]["phase"] == "in force"
    # The notice is dated: a client that asks whether something changed since is told so.
    modified = steered.get(ACTION).get("Last-Modified")
    assert modified == parse(event["notice"]).strftime("%a, %d %b %Y %H:%M:%S GMT")


def test_a_hibernation_begins_with_its_notice(steered):
    steered.add("event", "spot", "--action", "hibernate", "--in", "2s")
    assert steered.meta(ACTION) is None
    document = until(lambda: steered.json(ACTION), "the notice")
    assert parse(document["time"]) <= now() < parse(document["time"]) + timedelta(seconds=10)


def test_at_takes_a_date_in_any_zone(steered):
    at = (now() + timedelta(minutes=1)).replace(microsecond=0)
    east = (at + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%dT%H:%M:%S+05:30")
    steered.add("event", "spot", "--at", east)
    assert steered.json(ACTION)["time"] == rfc3339(at)


def test_at_takes_a_time_of_the_day_in_the_callers_zone(steered):
    """The daemon runs in another zone than the command."""
    at = now() + timedelta(hours=2)
    local = (at + timedelta(hours=5, minutes=30)).strftime("%H:%M")
    steered.add("event", "spot", "--now", "--at", local, env={"TZ": "XXX-5:30"})
    assert steered.json(ACTION)["time"] == rfc3339(at.replace(second=0))


@pytest.mark.parametrize("action", ["terminate", "stop"])
def test_every_version_lists_what_it_has_and_nothing_else(steered, action):
    """termination-time is older than instance-action, and the first versions have neither."""
    steered.add("event", "spot", "--action", action)
    shown = {}
    for version in steered.get("/").text.split("\n"):
        root = f"/{version}/meta-data/"
        leaves = [leaf for leaf in ("instance-action", "termination-time") if steered.get(f"{root}spot/{leaf}").status == 200]
        menu = steered.get(root + "spot/")
        assert (menu.text.split("\n") if menu.status == 200 else []) == leaves, version
        assert ("spot/" in steered.get(root).text.split("\n")) == bool(leaves), version
        shown[version] = leaves
    both = ["instance-action"] + ["termination-time"] * (action == "terminate")
    assert shown["latest"] == shown["2021-03-23"] == both
    assert shown["2014-11-05"] == both[1:]
    assert shown["2009-04-04"] == []


def test_a_second_interruption_is_refused_and_clear_makes_room(steered):
    steered.add("event", "spot", "--in", "10m")
    assert "fake-metadata event clear spot-1" in steered.refused("event", "spot", "--action", "stop")
    assert steered.do("event", "clear", "spot-1") == "cleared: 1\n"
    assert steered.meta("instance-life-cycle") == "on-demand"
    assert steered.add("event", "spot", "--action", "stop") == "spot-2"


def test_clear_takes_a_notice_back(steered):
    before = steered.menu()
    steered.add("event", "spot")
    assert steered.menu() != before
    assert steered.do("event", "clear") == "cleared: 1\n"
    assert steered.get(ACTION).status == 404
    assert steered.meta("instance-life-cycle") == "on-demand"
    assert steered.menu() == before
    assert steered.events() == []
