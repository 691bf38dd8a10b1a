"""The three supervisors: each keeps the daemon running as its users expect, and never two of them at once."""

import re

import pytest

from package.system import METADATA_ADDRESS, URL
from rig.box import until

INIT = "/etc/init.d/fake-metadata"
DEFAULT = "/etc/default/fake-metadata"


def restarted(system, old: int):
    """Waits for another process than `old` that answers."""
    until(lambda: (found := system.processes()) and found != [old], "start the daemon again", 30)
    system.assert_served()


def choose(system, supervisor: str):
    """Edits /etc/default/fake-metadata."""
    text = system.box.read(DEFAULT)
    system.box.write(DEFAULT, re.sub(r"^SUPERVISOR=.*$", f"SUPERVISOR={supervisor}", text, flags=re.M))


@pytest.mark.parametrize("name", ["deb12-systemd", "deb12-sysv", "deb12-daemontools"])
def test_the_rules_follow_the_daemons_environment(boot, deb, name):
    system = boot(name)
    system.install(deb)
    system.assert_served()

    def leads_to(port: int) -> bool:
        redirects = [rule for rule in system.our_rules() if METADATA_ADDRESS in rule and "-j REDIRECT" in rule]
        return len(redirects) == 1 and redirects[0].endswith(f"--to-ports {port}") and system.answers()

    good = system.box.read(DEFAULT)
    system.box.write(DEFAULT, good + "FAKE_METADATA_LISTEN=127.0.0.1:9000\n")
    system.box.sh("dpkg-reconfigure fake-metadata")
    until(lambda: leads_to(9000), "answer at another port by /etc/default")
    system.reboot()
    until(lambda: leads_to(9000), "answer at another port after a boot")
    system.box.write(DEFAULT, good)
    if name == "deb12-daemontools":
        # Its environment directory counts more than /etc/default.
        system.box.write("/etc/fake-metadata/env/FAKE_METADATA_LISTEN", "127.0.0.1:9001\n")
        system.box.sh("svc -t /etc/service/fake-metadata")
        until(lambda: leads_to(9001), "answer at another port by the environment directory")
        system.box.sh("rm /etc/fake-metadata/env/FAKE_METADATA_LISTEN")
    system.box.sh("dpkg-reconfigure fake-metadata")
    until(lambda: leads_to(8000), "answer at the port of before")


@pytest.mark.parametrize("name", ["deb11-systemd", "deb12-systemd", "deb13-systemd", "deb12-sysv", "deb12-daemontools"])
def test_the_daemon_rests_in_less_than_8_mib(boot, deb, name):
    """As it is installed: neither STS nor an engine is configured."""
    system = boot(name)
    system.install(deb)

    def resident() -> int:
        system.assert_served()
        [process] = system.processes()
        return int(re.search(r"VmRSS:\s+(\d+) kB", system.box.read(f"/proc/{process}/status"))[1])

    at_first = resident()
    system.reboot()
    sizes = at_first, resident()
    print(f"{name}: {sizes} KiB")
    assert max(sizes) < 8 * 1024, sizes


# systemd


@pytest.mark.parametrize("name", ["deb11-systemd", "deb12-systemd", "deb13-systemd"])
def test_the_unit_is_hardened_and_restarts_the_daemon(boot, deb, name):
    system = boot(name)
    system.install(deb)
    said = system.box.sh("systemd-analyze security --no-pager fake-metadata.service | tail -n 1")
    exposure = re.search(r"Overall exposure level for fake-metadata.service: ([0-9.]+)", said)
    assert exposure and float(exposure[1]) <= 2.0, said

    (pid,) = system.processes()
    system.box.sh(f"kill -KILL {pid}")
    restarted(system, pid)

    # The watchdog: one that lives and does nothing is ended too. A second is enough to see it.
    system.box.sh("mkdir -p /run/systemd/system/fake-metadata.service.d")
    system.box.path("/run/systemd/system/fake-metadata.service.d/x.conf").write_text("[Service]\nWatchdogSec=1\n")
    system.box.sh("systemctl daemon-reload; systemctl restart fake-metadata")
    (pid,) = system.processes()
    system.box.sh(f"kill -STOP {pid}")
    restarted(system, pid)


def test_the_unit_reloads_and_gives_up_on_a_wrong_configuration(boot, deb):
    system = boot("deb12-systemd")
    system.install(deb)
    (pid,) = system.processes()
    config = system.box.path("/etc/fake-metadata/config.toml")
    good = config.read_text()
    config.write_text(good.replace("[instance]\n", '[instance]\ninstance-id = "i-reloaded"\n'))
    system.box.sh("systemctl reload fake-metadata")
    until(lambda: system.box.sh(f"curl -sf {URL}instance-id") == "i-reloaded", "reload")
    assert system.processes() == [pid]

    config.write_text("nonsense = 1\n" + good)
    assert not system.box.ok("systemctl", "restart", "fake-metadata")
    shown = system.box.sh("systemctl show -p ActiveState -p ExecMainStatus -p NRestarts fake-metadata")
    assert dict(line.split("=") for line in shown.splitlines()) == {
        "ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0",
    }
    config.write_text(good)
    system.box.sh("systemctl restart fake-metadata")
    system.assert_served()


def test_systemd_leaves_the_daemon_alone_when_another_is_chosen(boot, deb):
    system = boot("deb12-systemd")
    system.install(deb)
    choose(system, "none")
    system.box.sh("dpkg-reconfigure fake-metadata")
    assert (system.supervised(), system.processes()) == ([], [])
    system.reboot()
    assert (system.supervised(), system.processes()) == ([], [])
    system.assert_network()

    choose(system, "runit")
    said = system.box.run("/usr/lib/fake-metadata/supervisor", "chosen", check=False)
    assert said.returncode == 78
    assert said.stdout == (
        "fake-metadata: SUPERVISOR=runit in /etc/default/fake-metadata: not auto, systemd, daemontools, sysv or none\n"
    )


# SysV init


def code(system, *argv: str) -> int:
    return system.box.run(*argv, check=False).returncode


def test_the_init_script_follows_the_lsb(boot, deb):
    system = boot("deb12-sysv")
    system.install(deb)
    system.assert_served()
    (pid,) = system.processes()

    assert code(system, INIT, "status") == 0
    assert code(system, INIT, "start") == 0, "started twice"
    assert system.processes() == [pid]
    for action in ("reload", "force-reload"):
        assert code(system, INIT, action) == 0
    assert system.processes() == [pid]
    assert code(system, INIT, "restart") == 0
    restarted(system, pid)
    (pid,) = system.processes()
    assert code(system, INIT, "try-restart") == 0
    restarted(system, pid)

    # Killed: dead with a pid file is 1.
    (pid,) = system.processes()
    system.box.sh(f"kill -KILL {pid}")
    until(lambda: system.processes() == [], "die")
    assert code(system, INIT, "status") == 1
    assert code(system, INIT, "reload") == 7
    assert code(system, INIT, "try-restart") == 0
    assert system.processes() == []
    assert code(system, INIT, "start") == 0
    system.assert_served()

    assert code(system, INIT, "stop") == 0
    assert code(system, INIT, "stop") == 0, "stopped twice"
    assert code(system, INIT, "status") == 3
    assert code(system, INIT, "restart") == 0, "restart starts what is stopped"
    system.assert_served()

    assert code(system, INIT) == 2
    assert code(system, INIT, "dance") == 2
    assert code(system, "setpriv", "--reuid", "nobody", "--clear-groups", INIT, "stop") == 4
    system.assert_served()


def test_the_init_script_tells_that_the_daemon_did_not_start(boot, deb):
    system = boot("deb12-sysv")
    system.install(deb)
    system.box.sh(f"{INIT} stop")
    config = system.box.path("/etc/fake-metadata/config.toml")
    good = config.read_text()
    config.write_text("nonsense = 1\n" + good)
    assert code(system, INIT, "start") == 1
    assert code(system, INIT, "status") != 0
    config.write_text(good)
    assert code(system, INIT, "start") == 0
    system.assert_served()


def test_a_default_file_with_a_syntax_error_leaves_no_daemon_behind(boot, deb):
    system = boot("deb12-sysv")
    system.install(deb)
    good = system.box.read(DEFAULT)
    system.box.write(DEFAULT, good + "HTTPS_PROXY=a (\n")
    system.remove()
    system.assert_gone()


# daemontools


def svstat(system) -> str:
    return system.box.sh("svstat /etc/service/fake-metadata")


def test_daemontools_commands(boot, deb):
    system = boot("deb12-daemontools")
    system.install(deb)
    system.assert_served()
    assert ": up (pid " in svstat(system)
    (pid,) = system.processes()

    log = system.box.path("/var/log/fake-metadata/multilog/current")
    until(lambda: re.search(r"^@[0-9a-f]{24} .*listening on http://127.0.0.1:8000", log.read_text(), re.M), "log")
    limits = system.box.path(f"/proc/{pid}/limits").read_text()
    hard = re.search(r"^Max open files +(\d+) +(\d+)", limits, re.M)
    assert int(hard[1]) == min(65536, int(hard[2]))

    config = system.box.path("/etc/fake-metadata/config.toml")
    config.write_text(config.read_text().replace("[instance]\n", '[instance]\ninstance-id = "i-reloaded"\n'))
    system.box.sh("svc -h /etc/service/fake-metadata")
    until(lambda: system.box.sh(f"curl -sf {URL}instance-id") == "i-reloaded", "reload")
    assert system.processes() == [pid]

    system.box.sh("svc -d /etc/service/fake-metadata")
    until(lambda: ": down " in svstat(system), "svc -d")
    assert system.processes() == []
    # An upgrade leaves it down.
    system.install(deb, "--reinstall")
    assert (system.supervised(), system.processes()) == ([], [])

    # The environment directory: one file a variable.
    system.box.path("/etc/fake-metadata/env/FAKE_METADATA_INSTANCE__INSTANCE_ID").write_text("i-environment\n")
    system.box.sh("svc -u /etc/service/fake-metadata")
    until(lambda: system.box.sh(f"curl -sf {URL}instance-id || :") == "i-environment", "svc -u")
    (pid,) = system.processes()
    system.box.sh(f"kill -KILL {pid}")
    restarted(system, pid)


# multilog, two seconds after it was told to end.
SLOW_TO_END = """#!/bin/sh
exec 3<&0
trap 'sleep 2; kill $!; exit' TERM
multilog.real "$@" <&3 &
wait
"""


@pytest.mark.parametrize("link", ["with its link", "with its link taken away"])
def test_purge_waits_for_daemontools_log(boot, deb, link):
    """multilog runs as our user too: as long as it does, the user cannot go."""
    system = boot("deb12-daemontools")
    before = system.box.listing()
    system.box.sh("mv /usr/bin/multilog /usr/bin/multilog.real")
    system.box.write("/usr/bin/multilog", SLOW_TO_END)
    system.box.sh("chmod 0755 /usr/bin/multilog")
    system.install(deb)
    system.assert_served()
    until(lambda: system.box.ok("pgrep", "-x", "-u", "fake-metadata", "multilog"), "log")
    if link == "with its link taken away":
        system.box.sh("rm /etc/service/fake-metadata")
    said = system.purge()
    assert "fake-metadata: " not in said, said
    system.box.sh("mv /usr/bin/multilog.real /usr/bin/multilog")
    system.assert_as_before(before)


def test_daemontools_hands_over_to_sysv_and_back(boot, deb):
    system = boot("deb12-daemontools")
    system.install(deb)
    system.assert_served()
    choose(system, "sysv")
    system.box.sh("dpkg-reconfigure fake-metadata")
    until(system.answers, "SysV init starts the daemon")
    assert system.supervised() == ["sysv"] and len(system.processes()) == 1
    system.reboot()
    until(system.answers, "SysV init starts the daemon at boot")
    assert system.supervised() == ["sysv"] and len(system.processes()) == 1

    choose(system, "auto")
    system.box.sh("dpkg-reconfigure fake-metadata")
    system.assert_served()
    system.reboot()
    system.assert_served()


def test_daemontools_that_scans_slash_service(boot, deb):
    """As daemontools does where it did not come from Debian."""
    system = boot("deb12-daemontools")
    system.services = "/service"
    system.box.sh("mkdir /service; sed -i 's#/etc/service#/service#g' $(command -v svscanboot); pkill -x svscan")
    scanned = 'readlink /proc/"$(pgrep -x svscan)"/cwd || :'
    until(lambda: system.box.sh(scanned) == "/service", "svscan looks after /service", 30)
    system.install(deb)
    system.assert_served()
    assert system.box.sh("readlink /service/fake-metadata") == "/usr/share/fake-metadata/daemontools"
    assert "fake-metadata" not in system.box.sh("ls /etc/service")
    system.reboot()
    system.assert_served()
    system.purge()
    assert system.processes() == [] and system.box.sh("ls /service") == ""
    system.assert_no_network()
