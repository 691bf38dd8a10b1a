"""One life of the package in each kind of system, asserted after every step, and no trace of it at the end."""

import json
import os
import subprocess
import sys

import pytest

from package.system import URL
from rig.box import until

BOOTED = ["deb11-systemd", "deb12-systemd", "deb13-systemd", "deb12-sysv", "deb12-daemontools"]

# Asks until a file `stop` appears, and prints the longest time between two answers in milliseconds.
GAP = f"""
now() {{ echo $(($(date +%s%N) / 1000000)); }}
longest=0
last=$(now)
while [ ! -e /run/stop ]; do
    if curl -sf -o /dev/null -m 1 {URL}; then
        answered=$(now)
        [ $((answered - last)) -le $longest ] || longest=$((answered - last))
        last=$answered
    fi
done
echo $longest
"""


def upgrade_with_a_client(system, deb) -> int:
    """Installs over the running version; returns for how long, in ms, nothing answered meanwhile."""
    client = subprocess.Popen(system.box.command("sh", "-c", GAP), stdout=subprocess.PIPE, text=True)
    system.install(deb)
    until(system.answers, "answer after the upgrade")
    system.box.path("/run/stop").touch()
    said, _ = client.communicate(timeout=20)
    system.box.path("/run/stop").unlink()
    return int(said)


def set_instance_id(system, name: str):
    """Edits the conffile as a person would."""
    config = system.box.path("/etc/fake-metadata/config.toml")
    config.write_text(config.read_text().replace("[instance]\n", f'[instance]\ninstance-id = "{name}"\n'))


def instance_id(system) -> str:
    return system.box.sh(f"curl -sf {URL}instance-id")


@pytest.mark.parametrize("name", BOOTED)
def test_a_life_with_the_package(boot, deb, older, name):
    system = boot(name, lo_stanza=name in ("deb12-systemd", "deb12-sysv"))
    system.assert_no_network()
    before = system.box.listing()
    network = system.network()

    system.install(older)
    system.assert_served(owners=False)
    if name == "deb12-systemd":
        assert_boto3_gets_credentials(system)

    for _ in range(2):
        assert system.box.sh("fake-metadata-setup apply").splitlines()[0] == "nothing to do"
        system.assert_served(owners=False)

    set_instance_id(system, "i-edited")
    assert upgrade_with_a_client(system, deb) < 2000
    assert system.version() != older.name.split("_")[1]
    system.assert_served()
    assert instance_id(system) == "i-edited"

    system.install(deb, "--reinstall")
    system.assert_served()

    system.reboot()
    system.assert_served()
    assert instance_id(system) == "i-edited"

    system.disable()
    for package, options in ((older, ["--allow-downgrades"]), (deb, [])):
        system.install(package, *options)
        assert (system.supervised(), system.processes()) == ([], [])
    system.reboot()
    assert (system.supervised(), system.processes()) == ([], [])
    system.enable()
    system.assert_served()

    system.remove()
    system.assert_gone()
    system.reboot()
    system.assert_gone()

    system.install(deb)
    system.assert_served()
    assert instance_id(system) == "i-edited"

    system.purge()
    system.assert_as_before(before)
    system.assert_no_network()
    assert system.network() == network


def test_without_an_init(boot, deb, older):
    """A container or an image: nothing starts services, one line says so, and by hand all works."""
    system = boot("deb12-bare")
    system.box.sh("ip link set lo up")
    before = system.box.listing()
    network = system.network()

    said = system.install(older)
    assert said.count("fake-metadata: ") == 1
    assert "fake-metadata: no init runs here" in said
    system.assert_no_network()

    system.box.sh("fake-metadata-setup apply")
    system.box.sh("setpriv --reuid fake-metadata --regid fake-metadata --clear-groups setsid"
                  " fake-metadata serve --control /tmp/control.sock >/dev/null 2>&1 &")
    until(system.answers, "start the daemon by hand")
    system.assert_network()
    assert system.box.sh("fake-metadata-setup apply").splitlines()[0] == "nothing to do"

    system.install(deb)
    system.assert_network()
    assert system.answers()

    system.box.sh("pkill -x fake-metadata")
    system.remove()
    system.assert_gone()
    system.install(deb)
    system.purge()
    system.assert_as_before(before)
    assert system.network() == network


def assert_boto3_gets_credentials(system):
    """IMDSv2, as an unmodified SDK speaks it from this machine."""
    script = (
        "import boto3, json; s = boto3.Session(); c = s.get_credentials();"
        "print(json.dumps([c.method, c.access_key, bool(c.token)]))"
    )
    done = subprocess.run(
        ["nsenter", "-t", str(system.box.leader), "--net", "--", sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_V1_DISABLED": "true"},
        stdout=subprocess.PIPE, check=True, text=True,
    )
    method, key, token = json.loads(done.stdout)
    document = json.loads(system.box.sh(f"curl -sf {URL}iam/security-credentials/BaseIAMRole"))
    assert (method, key, token) == ("iam-role", document["AccessKeyId"], True)
