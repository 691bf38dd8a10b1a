"""`--only` and `--first`: events that some callers see and others do not."""

import json
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.netns import Namespace
from support.steered import Steered

ACTION = "spot/instance-action"
REBALANCE = "events/recommendations/rebalance"
SERVER = "10.9.0.1"
ONE, TWO, THREE = "10.9.0.11", "10.9.0.12", "10.9.0.13"
CONFIG = f"""
[roles.Blue]
[roles.Green]
[callers]
default = "Green"
[callers.networks]
"{ONE}" = "Blue"
"{TWO}" = "Blue"
"""


@pytest.fixture(scope="module")
def namespace():
    """A network with a server and three other hosts, as far as addresses go."""
    with Namespace() as namespace:
        for address in (SERVER, ONE, TWO, THREE):
            namespace.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
        yield namespace


class Hosts(Steered):
    def __init__(self, binary: Path, daemon: Daemon, namespace: Namespace):
        super().__init__(binary, daemon)
        self.namespace = namespace

    def sees(self, host: str, path: str) -> str | None:
        """What that host finds at a path below meta-data; None for a 404."""
        url = f"{self.daemon.url}/latest/meta-data/{path}"
        curl = ("curl", "-sS", "--interface", host, "-w", "\n%{http_code}", url)
        body, _, status = self.namespace.run(*curl).stdout.rpartition("\n")
        assert status in ("200", "404"), status
        return body if status == "200" else None

    def who_sees(self, path: str, hosts=(ONE, TWO, THREE)) -> list[str]:
        return [host for host in hosts if self.sees(host, path) is not None]


@pytest.fixture
def hosts(serve, binary, namespace) -> Hosts:
    return Hosts(binary, serve(CONFIG, listen=(f"{SERVER}:0",), prefix=namespace.prefix), namespace)


def test_only_an_address(hosts):
    hosts.add("event", "spot", "--only", TWO)
    assert hosts.who_sees(ACTION) == hosts.who_sees("spot/") == [TWO]
    kinds = [hosts.sees(host, "instance-life-cycle") for host in (ONE, TWO, THREE)]
    assert kinds == ["on-demand", "spot", "on-demand"]
    menus = ["spot/" in hosts.sees(host, "").split("\n") for host in (ONE, TWO, THREE)]
    assert menus == [False, True, False]


def test_only_a_role(hosts):
    hosts.add("event", "rebalance", "--only", "Blue")
    assert hosts.who_sees(REBALANCE) == [ONE, TWO]


def test_only_several(hosts):
    hosts.add("event", "rebalance", "--only", ONE, "--only", "Green")
    assert hosts.who_sees(REBALANCE) == [ONE, THREE]
    assert hosts.events()[0]["only"] == [ONE, "Green"]


def test_different_callers_have_different_events(hosts):
    hosts.add("event", "spot", "--only", ONE, "--action", "stop")
    hosts.add("event", "spot", "--only", THREE, "--action", "terminate")
    assert json.loads(hosts.sees(ONE, ACTION))["action"] == "stop"
    assert json.loads(hosts.sees(THREE, ACTION))["action"] == "terminate"
    assert hosts.sees(TWO, ACTION) is None
    assert "spot-1" in hosts.refused("event", "spot", "--only", ONE)
    assert "spot-1" in hosts.refused("event", "spot"), "that one would reach the same caller"


def test_the_first_to_ask_see_it_and_keep_seeing_it(hosts):
    hosts.add("event", "spot", "--first", "2")
    assert hosts.sees(ONE, "instance-id"), "asking for something else does not count"
    assert hosts.who_sees(ACTION, (THREE, TWO, ONE)) == [THREE, TWO]
    assert hosts.who_sees(ACTION, (ONE, TWO, THREE)) == [TWO, THREE]
    (event,) = hosts.events()
    assert (event["first"], event["reached"]) == (2, [TWO, THREE])
    assert hosts.sees(ONE, "instance-life-cycle") == "on-demand"
    assert hosts.sees(TWO, "instance-life-cycle") == "spot"


def test_the_first_of_some(hosts):
    hosts.add("event", "rebalance", "--only", "Blue", "--first", "1")
    assert hosts.who_sees(REBALANCE, (THREE, TWO, ONE)) == [TWO]


def test_events_of_some_and_of_all_stand_beside_each_other(hosts):
    hosts.add("event", "rebalance")
    hosts.add("event", "maintenance", "--only", ONE, "--event-id", "instance-event-1")
    hosts.add("event", "lifecycle", "InService", "--only", "Green")
    assert hosts.who_sees(REBALANCE) == [ONE, TWO, THREE]
    scheduled = [hosts.sees(host, "events/maintenance/scheduled") == "[]" for host in (ONE, TWO, THREE)]
    assert scheduled == [False, True, True]
    assert hosts.who_sees("autoscaling/target-lifecycle-state") == [THREE]
    hosts.do("event", "clear")
    assert hosts.who_sees(REBALANCE) == hosts.who_sees("autoscaling/") == []


def test_a_role_that_is_not_there_is_refused_with_those_that_are(hosts):
    refused = hosts.refused("event", "rebalance", "--only", "Red")
    assert "there is no role \"Red\"" in refused and "Blue, Green" in refused
    assert hosts.events() == []


def test_in_the_configuration(serve, binary, namespace):
    events = f'[[events]]\nkind = "rebalance"\nonly = "{TWO}"\n[[events]]\nkind = "spot"\nonly = ["Green"]\nfirst = 1\n'
    daemon = serve(CONFIG + events, listen=(f"{SERVER}:0",), prefix=namespace.prefix)
    hosts = Hosts(binary, daemon, namespace)
    assert hosts.who_sees(REBALANCE) == [TWO]
    assert hosts.who_sees(ACTION) == [THREE]
