"""Timelines: `event script`, `[[events]]`, and the flags of `serve` and `run`."""

import sys
import time

import pytest

from support.daemon import run
from support.dates import parse, span
from support.wait import until

ACTION = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
STATE = "autoscaling/target-lifecycle-state"
TIMELINE = """
[[events]]
kind = "lifecycle"
state = "InService"

[[events]]
kind = "rebalance"
in = "1s"

[[events]]
kind = "spot"       # the notice comes after 2 s
in = "122s"
action = "stop"

[[events]]
kind = "lifecycle"
state = "Terminated"
in = "3s"
"""


def timeline(steered) -> list[str]:
    """What appears, in the order in which it does, until the instance is to be terminated."""
    paths = {ACTION: "spot", REBALANCE: "rebalance"}
    seen = []

    def terminated():
        for path, name in paths.items():
            if name not in seen and steered.meta(path) is not None:
                seen.append(name)
        state = steered.meta(STATE)
        if state not in seen:
            seen.append(state)
        return state == "Terminated"

    until(terminated, "the end of the timeline", every=0.05)
    return seen


def test_a_script_plays_the_same_every_time(steered, tmp_path):
    script = tmp_path / "timeline.toml"
    script.write_text(TIMELINE)
    for _ in range(2):
        with span() as done:
            printed = steered.do("event", "script", str(script))
        assert [line.split()[0].rstrip("0123456789") for line in printed.splitlines()] == [
            "lifecycle-",
            "rebalance-",
            "spot-",
            "lifecycle-",
        ]
        assert timeline(steered) == ["InService", "rebalance", "spot", "Terminated"]
        events = {event["id"].split("-")[0]: event for event in steered.events()}
        assert len(steered.events()) == 4, "the second run takes the place of the first"
        assert done.holds(parse(events["rebalance"]["notice"]), seconds=1)
        assert done.holds(parse(events["spot"]["notice"]), seconds=2)
        assert done.holds(parse(events["spot"]["time"]), seconds=122)
        assert {event["phase"] for event in steered.events()} == {"in force"}


def test_a_script_from_standard_input_beside_what_there_is(steered):
    steered.add("event", "rebalance")
    text = '[[events]]\nkind = "spot"\n'
    steered.do("event", "script", "-", "--keep", input=text)
    assert [event["kind"] for event in steered.events()] == ["rebalance", "spot"]
    steered.do("event", "script", "-", input=text)
    assert [event["kind"] for event in steered.events()] == ["spot"]
    assert steered.meta(REBALANCE) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[events]]\nkind = "spot"\nsoon = 1\n', ":3: unknown field `soon`"),
        ('[[events]]\nkind = "spot"\n[[events]]\nkind = "spot"\n', "events[1].spot: an instance is interrupted once"),
        ('[[events]]\nkind = "rebalance"\nat = "2020-01-01T00:00:00Z"\n', "events[0].at: "),
        ('[[events]]\nkind = "lifecycle"\n', "events[0].state: is missing: give one of Detached"),
        ('[[events]]\nin = "5s"\n', "events[0].kind: an event needs a kind: spot, rebalance"),
        ("events = 5\n", ":1: "),
        ("[[events]\n", ":1: "),
        ("tokens = 1\n", "unknown field `tokens`"),
        ("", "events"),
    ],
)
def test_a_script_that_is_wrong_is_refused_whole_with_the_place(steered, tmp_path, text, reason):
    script = tmp_path / "timeline.toml"
    script.write_text(text)
    steered.add("event", "rebalance")
    refused = steered.refused("event", "script", str(script))
    assert reason in refused and refused.count("\n") == 1, refused
    assert [event["kind"] for event in steered.events()] == ["rebalance"], "what was there is still there"


def test_a_script_that_cannot_be_read_is_refused(steered, tmp_path):
    assert "No such file" in steered.refused("event", "script", str(tmp_path / "absent"))


def test_events_of_the_configuration(steer):
    with span() as done:
        steered = steer(TIMELINE)
    assert timeline(steered)[-1] == "Terminated"
    events = steered.events()
    assert {event["origin"] for event in events} == {"configuration"}
    assert done.holds(parse(events[1]["notice"]), seconds=1)
    steered.do("event", "clear", events[1]["id"])
    assert steered.meta(REBALANCE) is None


def test_events_of_the_configuration_after_a_reload(steer):
    steered = steer('[[events]]\nkind = "rebalance"\n')
    notice = steered.meta(REBALANCE)
    steered.add("event", "lifecycle", "Standby")
    steered.do("reload")
    assert (steered.meta(REBALANCE), steered.meta(STATE)) == (notice, "Standby")
    steered.do("event", "clear", "rebalance-1")
    steered.do("reload")
    assert steered.meta(REBALANCE) is None, "cleared is cleared"
    steered.daemon.config.write_text('[[events]]\nkind = "spot"\nin = "1h"\nnow = true\n')
    steered.do("reload")
    assert steered.json(ACTION)["action"] == "terminate"
    assert (steered.meta(REBALANCE), steered.meta(STATE)) == (None, "Standby")
    steered.do("reload", "--reset")
    assert steered.meta(STATE) is None, "those of commands are gone"
    assert steered.json(ACTION)["action"] == "terminate", "those of the configuration are not"


def test_a_reload_changes_the_events_whose_words_have_changed_and_no_others(steer):
    cleared = '[[events]]\nkind = "rebalance"\n'
    stays = '[[events]]\nkind = "maintenance"\ncode = "system-reboot"\nin = "10m"\n'
    goes = '[[events]]\nkind = "spot"\nin = "1h"\n'
    steered = steer(cleared + stays + goes)
    before = {event["kind"]: event for event in steered.events()}
    steered.do("event", "clear", before["rebalance"]["id"])
    comes = '[[events]]\nkind = "spot"\nin = "2h"\n'
    steered.daemon.config.write_text(comes + stays + cleared)
    # As long as the daemon has run by now, so long the new event would be too early if it counted from the start.
    until(lambda: time.monotonic() - steered.daemon.started > 3, "the daemon has run for a while")
    with span() as done:
        steered.do("reload")
    maintenance, spot = steered.events()
    assert maintenance == before["maintenance"], "with its id and its times"
    assert spot["id"] == "spot-4" and done.holds(parse(spot["time"]), seconds=7200)
    steered.daemon.config.write_text(cleared)
    steered.do("reload")
    assert steered.events() == []


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ('kind = "spot"\naction = "explode"', "events[0].action"),
        ('kind = "spot"\ncode = "system-reboot"', "events[0].code"),
        ('kind = "rebalance"\nonly = "Nobody"', "events[0].only"),
        ('kind = "maintenance"\ncode = "system-reboot"\nnot-before = "2h"\nnot-after = "1h"', "events[0].not-after"),
        ('kind = "lifecycle"\nstate = "Terminated"\n[[events]]\nkind = "lifecycle"\nstate = "InService"', "events[1].state"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_refused_with_its_key(binary, tmp_path, written, key):
    file = tmp_path / "config.toml"
    file.write_text(f"[[events]]\n{written}\n")
    for command in (("check", str(file)), ("serve", "--config", str(file), "--listen", "127.0.0.1:0")):
        result = run(binary, *command, cwd=tmp_path)
        assert result.returncode == 78, result
        assert f"{file}:" in result.stderr and f" {key}: " in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1


def test_flags_of_serve(steer, tmp_path):
    script = tmp_path / "timeline.toml"
    script.write_text('[[events]]\nkind = "rebalance"\n')
    flags = ("--event", "spot --action stop --in 10m --now", "--event-script", str(script))
    steered = steer(args=(*flags, "--event", "maintenance --description 'two words' --not-before 1h"))
    assert steered.json(ACTION)["action"] == "stop"
    assert steered.json(REBALANCE)
    assert steered.json("events/maintenance/scheduled")[0]["Description"] == "two words"
    assert len(steered.events()) == 3


def test_flags_of_serve_add_to_the_configuration_and_outlast_a_reload(steer):
    steered = steer('[[events]]\nkind = "rebalance"\n', args=("--event", "spot"))
    before = steered.meta(ACTION), steered.meta(REBALANCE)
    assert None not in before
    steered.do("reload")
    assert (steered.meta(ACTION), steered.meta(REBALANCE)) == before


def test_flags_of_run(binary, tmp_path):
    script = tmp_path / "timeline.toml"
    script.write_text('[[events]]\nkind = "lifecycle"\nstate = "Standby"\n')
    read = (
        "import os, urllib.request as u\n"
        "root = os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT'] + '/latest/meta-data/'\n"
        f"for path in ('{STATE}', '{ACTION}'): print(u.urlopen(root + path).read().decode())"
    )
    events = ("--event", "spot --action hibernate --now", "--event-script", str(script))
    result = run(binary, "run", *events, "--", sys.executable, "-c", read, cwd=tmp_path)
    state, action = result.stdout.splitlines()
    assert state == "Standby" and action.startswith('{"action": "hibernate"'), result


@pytest.mark.parametrize("command", ["serve", "run"])
@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--event", "spot --action explode"), "[possible values: terminate, stop, hibernate]"),
        (("--event", "explode"), "spot, rebalance, maintenance, lifecycle"),
        (("--event", ""), "spot, rebalance, maintenance, lifecycle"),
        (("--event", "spot --in 5"), "write a duration (90s, 2m, 1h30m)"),
        (("--event", "spot", "--event", "spot"), "an instance is interrupted once"),
        (("--event", "spot --control /x"), "--control"),
        (("--event-script", "/nonexistent"), "No such file"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_served(binary, tmp_path, command, flags, reason):
    tail = ("--", "true") if command == "run" else ("--listen", "127.0.0.1:0")
    result = run(binary, command, *flags, *tail, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, ""), result
    assert reason in result.stderr, result.stderr
