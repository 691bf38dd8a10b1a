"""Times and combinations that cannot be, refused with the reason and without a trace."""

from datetime import timedelta

import pytest

from support.control import Control, Refused
from support.dates import now, rfc3339
from support.steered import Steered


@pytest.fixture(scope="module")
def quiet(serve_module, binary) -> Steered:
    """A daemon that no test of this file gets to do anything."""
    steered = Steered(binary, serve_module())
    yield steered
    assert steered.events() == []


FORMS = "write a duration (90s, 2m, 1h30m), a date with its time and zone (2026-11-21T18:30:00Z) or a time of the day"


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ("spot --in 5", FORMS),
        ("spot --in 2x", FORMS),
        ("spot --in 18:30", "in: 18:30 is no duration: write 90s or 2m, or give at"),
        ("spot --in -5s", '"-5s" is in the past'),
        ("spot --in 4000d", FORMS),
        ("spot --at 2020-01-01T00:00:00Z", '"2020-01-01T00:00:00Z" is in the past, it is 20'),
        ("spot --at 2026-11-21", FORMS),
        ("spot --at 2026-11-21T18:30:00", FORMS),
        ("spot --at 24:00", FORMS),
        ("spot --at 1:2:3:4", FORMS),
        ("spot --at tomorrow", FORMS),
        ("spot --in 2m --at 18:30", "'--in <DURATION>' cannot be used with '--at <TIME>'"),
        ("rebalance --at 2020-01-01T00:00:00Z", "is in the past"),
        ("lifecycle InService --at 2020-01-01T00:00:00Z", "is in the past"),
        ("lifecycle Gone", "[possible values: Detached, InService, Standby, Terminated"),
        ("maintenance --not-before 2020-01-01T00:00:00Z", 'not-before: "2020-01-01T00:00:00Z" is in the past'),
        ("maintenance --not-before 2h --not-after 1h", "not-after: must be later than not-before"),
        ("maintenance --not-before 2h --deadline 1h", "deadline: is before not-before"),
        ("maintenance --in 2h --not-before 1h", "not-before: is before the event is announced"),
        ("maintenance --not-before 2h --completed 1h", "completed: is before not-before"),
        ("maintenance --in 2h --canceled 1h", "canceled: is before the event is announced"),
        ("maintenance --not-before 1h --not-after 2h --completed 3h", "completed: is after not-after"),
        ("maintenance --completed 3d --canceled 3d", "'--completed <TIME>' cannot be used with '--canceled <TIME>'"),
        ("maintenance --event-id a_b", "write letters, digits and dashes"),
        ("maintenance --code reboot", "[possible values: instance-reboot, system-reboot"),
        ("spot --only Nobody", 'there is no role "Nobody": give an IP address or one of the roles BaseIAMRole'),
        ("spot --first 0", "write a whole number from 1"),
        ("clear spot-7", 'there is no event "spot-7": there are none'),
    ],
)
def test_refused_with_the_reason(quiet, argv, reason):
    refused = quiet.refused("event", *argv.split())
    assert reason in refused and refused.count("\n") == 1, refused


def test_a_time_of_the_day_that_has_just_passed_is_not_tomorrows(quiet):
    at = (now() - timedelta(minutes=5)).strftime("%H:%M")
    refused = quiet.refused("event", "spot", "--at", at, env={"TZ": "UTC"})
    assert "is in the past" in refused and "for tomorrow give the date too" in refused


def test_the_daemon_checks_what_it_is_told_by_itself(quiet):
    """What a script sends over the control API is held to the same rules as what a command sends."""
    past = rfc3339(now() - timedelta(hours=1))
    with Control(quiet.daemon) as control:
        for body, reason in [
            ({"events": [{"kind": "spot", "at": past}]}, "is in the past"),
            ({"events": [{"kind": "spot"}, {"kind": "spot"}]}, "events[1].spot: an instance is interrupted once"),
            ({"events": [{"kind": "rebalance"}, {"kind": "reboot"}]}, "unknown variant `reboot`"),
            ({"events": [{}]}, "kind: an event needs a kind"),
            ({}, "missing field `events`"),
            ({"events": [], "keep": True}, "unknown field `keep`"),
            ([], "read the request: "),
        ]:
            with pytest.raises(Refused) as refused:
                control.ask("POST", "/v1/events", body)
            assert refused.value.status == 400 and reason in refused.value.reason, refused.value
        with pytest.raises(Refused) as refused:
            control.ask("POST", "/v1/nothing", {})
        assert refused.value.status == 404


def test_a_daemon_starts_again_when_events_of_its_configuration_are_over(steer, tmp_path):
    """However long the machine was off: they are left out and told, those to come are not."""
    config = """
[[events]]
kind = "spot"
at = "2020-01-01T00:00:00Z"

[[events]]
kind = "maintenance"
not-before = "2020-01-01T00:00:00Z"

[[events]]
kind = "rebalance"
in = "1h"
"""
    steered = steer(config)
    assert [event["kind"] for event in steered.events()] == ["rebalance"]
    said = [
        ':4: events[0].at: "2020-01-01T00:00:00Z" is over: the event is left out',
        ':8: events[1].not-before: "2020-01-01T00:00:00Z" is over: the event is left out',
    ]
    for line in said:
        steered.daemon.wait_for_log(line)

    # A reload knows the same events, and a change of them is made by the same rule.
    steered.do("reload")
    steered.daemon.config.write_text(config.replace("1h", "2h"))
    steered.do("reload")
    assert [event["kind"] for event in steered.events()] == ["rebalance"]

    checked = steered.run("check", str(steered.daemon.config))
    assert checked.returncode == 0 and checked.stdout.endswith(": ok\n")
    assert [line.endswith(end) for line, end in zip(checked.stderr.splitlines(), said, strict=True)] == [True, True]


def test_there_is_a_bound_on_events(steered):
    """Each one costs memory for every moment at which something changes."""
    with Control(steered.daemon) as control:
        control.ask("POST", "/v1/events", {"events": [{"kind": "rebalance", "in": f"{n}h"} for n in range(200)]})
        with pytest.raises(Refused) as refused:
            control.ask("POST", "/v1/events", {"events": [{"kind": "rebalance"}]})
        assert "there are 200 already: clear some first" in refused.value.reason
        assert control.ask("POST", "/v1/events/clear") == {"cleared": 200}
