"""A proxy that would ask itself: refused at the start where it can be found out, ended at once where it comes later.
And the host it is made for, where the way to the real service stays open."""

import json
import re

import pytest

from conftest import built
from support.daemon import Background, Daemon, run
from support.netns import METADATA_ADDRESS, Namespace
from support.wait import until

ID = "/latest/meta-data/instance-id"
ROLES = "/latest/meta-data/iam/security-credentials/"
METADATA = f"http://{METADATA_ADDRESS}"
OWN = "10.7.7.7"


@pytest.fixture(scope="session")
def setup_binary():
    return built("-p", "fake-metadata-setup", name="fake-metadata-setup")


@pytest.fixture
def daemons(binary, namespace, tmp_path):
    """Daemons in one namespace: `daemons(config)`, on fixed ports, which are its own there."""
    namespace.run("ip", "addr", "add", f"{OWN}/32", "dev", "lo")
    made: list[Daemon] = []

    def make(config: str, **more) -> Daemon:
        more.setdefault("prefix", namespace.prefix)
        made.append(Daemon(binary, tmp_path / f"daemon{len(made)}", config, listen=(), **more))
        return made[-1]

    yield make
    for daemon in made:
        daemon.kill()


def refused(daemon: Daemon) -> str:
    """The one line with which a daemon ends at its start."""
    daemon.spawn()
    assert daemon.process.wait(15) == 78, daemon.log
    assert daemon.output == "", "it never said that it listens"
    lines = [line for line in daemon.log.splitlines() if line.startswith("fake-metadata: ")]
    assert len(lines) == 1, daemon.log
    return lines[0]


def test_our_own_address_under_another_name(daemons):
    line = refused(daemons(f'listen = "0.0.0.0:8000"\nupstream = "http://{OWN}:8000"\n'))
    assert "config.toml:2: upstream: " in line and f"http://{OWN}:8000 leads back to this daemon" in line


@pytest.mark.parametrize("more", ['tokens = "required"', 'endpoint = "disabled"', 'hosts = ["x"]'])
def test_whatever_else_we_would_answer(daemons, more):
    line = refused(daemons(f'listen = "0.0.0.0:8000"\n{more}\nupstream = "http://{OWN}:8000"\n'))
    assert "leads back to this daemon" in line


def test_the_packages_redirect(daemons, namespace, setup_binary, tmp_path):
    config = f'listen = "127.0.0.1:8000"\nupstream = "{METADATA}"\n[network]\nifupdown = false\n'
    daemon = daemons(config)
    setup = (str(setup_binary), "--config", str(daemon.config), "--state-dir", str(tmp_path / "setup"))
    namespace.run(*setup, "apply")
    line = refused(daemon)
    assert f"{METADATA} leads back to this daemon" in line and "local = false" in line
    namespace.run(*setup, "remove")
    # Nobody is there then, which is no loop.
    daemon.start()
    daemon.wait_for_log(f"upstream {METADATA}: ")


@pytest.mark.parametrize("length", [2, 3])
def test_daemons_in_a_circle(daemons, length):
    """The one that closes the circle is refused; the others say that nobody answers."""
    for number in range(1, length):
        daemons(f'listen = "127.0.0.1:800{number}"\nupstream = "http://127.0.0.1:800{number - 1}"\n').start()
    last = daemons(f'listen = "127.0.0.1:8000"\nupstream = "http://127.0.0.1:800{length - 1}"\n')
    assert f"http://127.0.0.1:800{length - 1} leads back to this daemon" in refused(last)


def test_daemons_in_a_row_are_no_circle(daemons, namespace):
    daemons('listen = "127.0.0.1:8000"\n[instance]\ninstance-id = "i-00000000000000001"\n').start()
    for number in range(1, 4):
        daemons(f'listen = "127.0.0.1:800{number}"\nupstream = "http://127.0.0.1:800{number - 1}"\n').start()
    assert namespace.run("curl", "-sSf", f"http://127.0.0.1:8003{ID}").stdout == "i-00000000000000001"


def test_a_loop_that_comes_later_ends_at_once(daemons, namespace):
    """The service that was meant goes, and what leads its address to us comes."""
    namespace.run("ip", "addr", "add", f"{METADATA_ADDRESS}/32", "dev", "lo", "scope", "host")
    real = daemons(f'listen = "{METADATA_ADDRESS}:80"\n').start()
    daemon = daemons(f'listen = "127.0.0.1:8000"\nupstream = "{METADATA}"\n').start()

    def status(path: str = ID) -> str:
        curl = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5")
        return namespace.run(*curl, f"http://127.0.0.1:8000{path}").stdout

    assert status() == "200"
    real.kill()
    match = ("-d", f"{METADATA_ADDRESS}/32", "-p", "tcp", "--dport", "80")
    namespace.run("iptables", "-w", "-t", "nat", "-A", "OUTPUT", *match, "-j", "REDIRECT", "--to-ports", "8000")
    asking = [Background(status) for _ in range(10)]
    assert [request.join() for request in asking] == ["508"] * 10
    assert "leads back to this daemon" in daemon.wait_for_log(f"upstream {METADATA}: ")
    # Each request came back once, and not again; and each may have been tried on a kept connection before.
    came = until(lambda: len(re.findall(rf" (GET|PUT) \S+ 508 \d+us - loop", daemon.log)) >= 20, "it is logged")
    assert came and len(re.findall(r"us - loop", daemon.log)) <= 40
    assert daemon.log.count(f"upstream {METADATA}: ") == 1
    assert status("/latest/meta-data/iam/info") == "200"


def test_a_reload_does_not_lead_into_a_loop(daemons, namespace, binary):
    daemon = daemons('listen = "0.0.0.0:8000"\n[instance]\ninstance-id = "i-00000000000000001"\n').start()
    daemon.config.write_text(f'listen = "0.0.0.0:8000"\nupstream = "http://{OWN}:8000"\n')
    done = run(binary, "reload", "--control", str(daemon.control))
    assert done.returncode != 0 and "config.toml:2: upstream: " in done.stderr and "leads back" in done.stderr
    assert namespace.run("curl", "-sSf", f"http://127.0.0.1:8000{ID}").stdout == "i-00000000000000001"


def test_a_host_on_ec2_with_containers(daemons, namespace, setup_binary, tmp_path):
    """`local = false`: the host asks the real service and has its own credentials there; its containers ask us, see the
    host's metadata, and have roles of their own. The real service requires IMDSv2."""
    with Namespace() as ec2, Namespace() as container:
        host = namespace
        host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "host0")
        host.run("ip", "link", "set", "host0", "netns", str(ec2.holder.pid))
        host.run("ip", "addr", "add", "10.9.0.2/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
        ec2.run("ip", "addr", "add", "10.9.0.1/24", "dev", "host0")
        ec2.run("ip", "link", "set", "host0", "up")
        ec2.run("ip", "addr", "add", f"{METADATA_ADDRESS}/32", "dev", "lo")
        host.run("ip", "route", "add", f"{METADATA_ADDRESS}/32", "via", "10.9.0.1")
        bridge = host.attach_container(container, "172.31.9")
        real = daemons(
            f'listen = "{METADATA_ADDRESS}:80"\ntokens = "required"\n'
            '[instance]\ninstance-id = "i-0000000000000aaaa"\n[roles.HostRole]\n',
            prefix=ec2.prefix,
        ).start()
        daemon = daemons(
            f'listen = "0.0.0.0:8000"\nupstream = "{METADATA}"\n[roles.App]\n[callers]\ndefault = false\n'
            f'[callers.networks]\n"172.31.9.2" = "App"\n'
            f'[network]\nlocal = false\nifupdown = false\nbridges = ["{bridge}"]\n'
        )
        setup = (str(setup_binary), "--config", str(daemon.config), "--state-dir", str(tmp_path / "setup"))
        host.run(*setup, "apply")
        daemon.start()

        def text(where: Namespace, path: str) -> str:
            put = ("-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60")
            token = where.run("curl", "-sSf", *put, f"{METADATA}/latest/api/token").stdout
            return where.run("curl", "-sSf", "-H", f"X-aws-ec2-metadata-token: {token}", METADATA + path).stdout

        assert text(host, ID) == text(container, ID) == "i-0000000000000aaaa"
        assert text(host, ROLES) == "HostRole" and text(container, ROLES) == "App"
        own = json.loads(text(container, ROLES + "App"))
        theirs = json.loads(text(host, ROLES + "HostRole"))
        assert own["Code"] == theirs["Code"] == "Success" and own["AccessKeyId"] != theirs["AccessKeyId"]
        assert "iam/" in text(container, "/latest/meta-data/").split()
        assert "10.9.0.2" in real.log and "172.31.9.2" not in real.log
        host.run(*setup, "remove")
