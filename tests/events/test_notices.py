"""`event rebalance` and `event lifecycle`."""

import pytest

from support.dates import parse, span
from support.wait import until

REBALANCE = "events/recommendations/rebalance"
STATE = "autoscaling/target-lifecycle-state"
STATES = [
    "Detached",
    "InService",
    "Standby",
    "Terminated",
    "Warmed:Hibernated",
    "Warmed:Running",
    "Warmed:Stopped",
    "Warmed:Terminated",
]


def test_a_rebalance_notice_says_when_it_was_given(steered):
    assert steered.get(REBALANCE).status == 404
    assert "recommendations/" not in steered.menu("events/")
    with span() as done:
        assert steered.add("event", "rebalance") == "rebalance-1"
    body = steered.meta(REBALANCE)
    document = steered.json(REBALANCE)
    assert body == '{"noticeTime": "%s"}' % document["noticeTime"]
    assert done.holds(parse(document["noticeTime"]))
    assert steered.menu("events/recommendations/") == ["rebalance"]
    assert "recommendations/" in steered.menu("events/")
    assert steered.meta(REBALANCE) == body, "the time is that of the notice, not of the question"
    assert steered.meta("instance-life-cycle") == "on-demand", "it says nothing about spot"
    steered.do("event", "clear", "rebalance-1")
    assert steered.get(REBALANCE).status == 404 and "recommendations/" not in steered.menu("events/")


def test_a_rebalance_notice_comes_when_it_is_due(steered):
    with span() as done:
        steered.add("event", "rebalance", "--in", "1s")
    assert steered.meta(REBALANCE) is None
    document = until(lambda: steered.json(REBALANCE), "the notice")
    assert done.holds(parse(document["noticeTime"]), seconds=1)


@pytest.mark.parametrize("state", STATES)
def test_every_life_cycle_state(steered, state):
    assert steered.get(STATE).status == 404 and "autoscaling/" not in steered.menu()
    steered.add("event", "lifecycle", state)
    assert steered.meta(STATE) == state
    assert steered.menu("autoscaling/") == ["target-lifecycle-state"]
    (event,) = steered.events()
    assert (event["target-lifecycle-state"], event["phase"], event["kind"]) == (state, "in force", "lifecycle")


def test_a_life_cycle_goes_through_its_transitions(steered):
    steered.add("event", "lifecycle", "InService")
    steered.add("event", "lifecycle", "Standby", "--in", "1s")
    steered.add("event", "lifecycle", "InService", "--in", "2s")
    steered.add("event", "lifecycle", "Terminated", "--in", "3s")
    seen = [steered.meta(STATE)]

    def terminated():
        state = steered.meta(STATE)
        if state != seen[-1]:
            seen.append(state)
        return state == "Terminated"

    until(terminated, "the instance is terminated")
    assert seen == ["InService", "Standby", "InService", "Terminated"]
    assert "an instance cannot go from Terminated to InService" in steered.refused("event", "lifecycle", "InService")


def test_a_transition_that_cannot_be_is_refused_wherever_it_stands(steered):
    steered.add("event", "lifecycle", "Terminated", "--in", "1h")
    assert "from Terminated to Standby" in steered.refused("event", "lifecycle", "Standby", "--in", "2h")
    assert "from Detached to Terminated" in steered.refused("event", "lifecycle", "Detached", "--in", "30m")
    assert "from Warmed:Running to Terminated" in steered.refused("event", "lifecycle", "Warmed:Running", "--in", "30m")
    assert len(steered.events()) == 1


def test_transitions_start_from_the_configured_state(steer):
    steered = steer('[instance]\ntarget-lifecycle-state = "Warmed:Stopped"\n')
    assert steered.meta(STATE) == "Warmed:Stopped"
    assert "from Warmed:Stopped to Standby" in steered.refused("event", "lifecycle", "Standby")
    steered.add("event", "lifecycle", "InService")
    assert steered.meta(STATE) == "InService"
    steered.do("event", "clear")
    assert steered.meta(STATE) == "Warmed:Stopped"
