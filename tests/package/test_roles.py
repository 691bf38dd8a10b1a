"""Roles of the installed daemon: helpers run in its sandbox, and members of its group feed it their own sessions."""

import json

import pytest

from package.system import URL
from rig.box import until

CONFIG = """
[callers]
default = "App"

[roles.App]
source = "process"
command = ["/usr/local/bin/helper", "app"]
"""
# Keeps a file in its home, works in /tmp, and looks at what it may not see.
HELPER = """#!/bin/sh
set -e
echo "$1" > "$HOME/helper-was-here"
echo "$1" > /tmp/helper
ls -A /home > "$HOME/helper-saw" 2>&1 || :
cat <<JSON
{"Version": 1, "AccessKeyId": "ASIAHELPER0000000001", "SecretAccessKey": "secret-of-$1", "SessionToken": "token",
 "Expiration": "$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)"}
JSON
"""


def credentials(system) -> dict:
    return json.loads(system.box.sh(f"curl -sf {URL}iam/security-credentials/App || echo '{{}}'"))


def configure(system):
    box = system.box
    box.write("/usr/local/bin/helper", HELPER)
    box.sh("chmod 755 /usr/local/bin/helper; mkdir -p /home/person")
    config = "/etc/fake-metadata/config.toml"
    box.write(config, box.read(config) + CONFIG)
    box.sh("/usr/lib/fake-metadata/supervisor reload")


@pytest.mark.parametrize("name", ["deb11-systemd", "deb13-systemd", "deb12-sysv", "deb12-daemontools"])
def test_a_helper_runs_with_the_state_directory_as_its_home(boot, deb, name):
    system = boot(name)
    system.install(deb)
    system.assert_served()
    configure(system)
    until(lambda: credentials(system).get("AccessKeyId") == "ASIAHELPER0000000001", "serve what the helper printed")
    assert system.box.read("/var/lib/fake-metadata/helper-was-here") == "app\n"
    saw = system.box.read("/var/lib/fake-metadata/helper-saw")
    if system.supervisor == "systemd":
        # The unit hides home folders, and gives it a /tmp of its own.
        assert "person" not in saw
        assert not system.box.path("/tmp/helper").exists()
    assert "secret-of-app" not in system.box.sh("cat /var/log/fake-metadata/server.log 2>/dev/null || journalctl -u fake-metadata || :")
    system.purge()
    assert not system.box.path("/var/lib/fake-metadata").exists()


def test_a_member_of_the_group_feeds_a_session_and_others_may_not(boot, deb):
    system = boot("deb12-systemd")
    system.install(deb)
    system.assert_served()
    box = system.box
    box.sh("useradd --create-home member; adduser --quiet member fake-metadata; useradd other")
    document = json.dumps({
        "Version": 1, "AccessKeyId": "ASIAFED0000000000001", "SecretAccessKey": "fed-secret", "SessionToken": "fed-token",
        "Expiration": box.sh("date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ"),
    })
    feed = "fake-metadata role feed BaseIAMRole --file -"
    refused = box.run("runuser", "-u", "other", "--", "sh", "-c", feed, input=document, check=False)
    assert refused.returncode == 1 and "fake-metadata" in refused.stdout, refused.stdout
    box.run("runuser", "-u", "member", "--", "sh", "-c", feed, input=document)
    served = json.loads(box.sh(f"curl -sf {URL}iam/security-credentials/BaseIAMRole"))
    assert (served["AccessKeyId"], served["Token"]) == ("ASIAFED0000000000001", "fed-token")
    # Nothing of it lies on disk.
    assert not box.ok("grep", "-rqs", "fed-secret", "/var/lib", "/etc", "/run", "/var/log", "/tmp")
