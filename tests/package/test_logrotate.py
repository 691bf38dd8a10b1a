"""logrotate under load: every request that was sent is found once, over all files."""

import re
import subprocess

from package.system import URL
from rig.box import until

CLIENTS = 4
REQUESTS = 10_000
ROTATIONS = 5
LOGS = "/var/log/fake-metadata"


def test_rotation_loses_no_line(boot, deb):
    system = boot("deb12-sysv")
    box = system.box
    system.install(deb)
    clients = [
        subprocess.Popen(
            box.command("curl", "-s", "-o", "/dev/null", f"{URL}nothing-{client}-[1-{REQUESTS}]"),
            stdout=subprocess.PIPE,
        )
        for client in range(CLIENTS)
    ]
    # Each time the log has grown by enough. Not an eighth time: `rotate 7` would throw lines away, as it is meant to.
    log = box.path(f"{LOGS}/server.log")
    # Far less than there will be: meanwhile a fast daemon writes on.
    enough = CLIENTS * REQUESTS // (10 * ROTATIONS)
    for _ in range(ROTATIONS):
        until(lambda: log.read_bytes().count(b"\n") >= enough, "write the log", 60)
        assert any(client.poll() is None for client in clients), "the load ended before the rotations"
        box.sh("logrotate -f /etc/logrotate.d/fake-metadata")
    assert [client.wait(60) for client in clients] == [0] * CLIENTS

    sent = {f"nothing-{client}-{n}" for client in range(CLIENTS) for n in range(1, REQUESTS + 1)}

    def found() -> list[str]:
        return re.findall(r"nothing-\d-\d+", box.sh(f"cd {LOGS}; cat server.log server.log.1; zcat *.gz"))

    until(lambda: len(found()) >= len(sent), "write the log")
    assert sorted(found()) == sorted(sent)

    names = sorted(path.name for path in box.path(LOGS).iterdir())
    assert "server.log.2.gz" in names, "all but the newest are compressed"
    for name in names:
        assert box.sh(f"stat -c '%U:%G %a' {LOGS}/{name}") == "fake-metadata:adm 640"


def test_it_rotates_once_a_day_by_itself(boot, deb):
    """What Debian's cron job or timer runs daily, with the time of the last rotation written as logrotate notes it."""
    system = boot("deb12-sysv")
    box = system.box
    system.install(deb)
    log = box.path(f"{LOGS}/server.log")
    box.sh(f"curl -s -o /dev/null {URL}noticed")
    until(lambda: "noticed " in log.read_text(), "write the log")

    def logs_after(last: str) -> list[str]:
        date = box.sh(f"date -d '{last}' +%Y-%-m-%-d-%-H:%-M:%-S")
        box.write("/var/lib/logrotate/status", f'logrotate state -- version 2\n"{LOGS}/server.log" {date}\n')
        box.sh("logrotate /etc/logrotate.conf")
        return sorted(path.name for path in box.path(LOGS).iterdir())

    assert logs_after("1 hour ago") == ["server.log"]
    assert logs_after("25 hours ago") == ["server.log", "server.log.1"]


def test_seven_files_are_kept_and_a_wrong_configuration_does_not_hold_the_log(boot, deb):
    system = boot("deb12-sysv")
    box = system.box
    system.install(deb)
    config = box.path("/etc/fake-metadata/config.toml")
    config.write_text("nonsense = 1\n" + config.read_text())
    for turn in range(9):
        box.sh(f"curl -s -o /dev/null {URL}turn-{turn}")
        log = box.path(f"{LOGS}/server.log")
        until(lambda: f"turn-{turn} " in log.read_text(), "write the log")
        box.sh("logrotate -f /etc/logrotate.d/fake-metadata")
    kept = sorted(path.name for path in box.path(LOGS).iterdir())
    assert kept == ["server.log", "server.log.1"] + [f"server.log.{n}.gz" for n in range(2, 8)]
    assert "turn-8 " in box.sh(f"cat {LOGS}/server.log.1")
    assert "turn-2 " in box.sh(f"zcat {LOGS}/server.log.7.gz")
