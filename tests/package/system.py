"""A box that the package is installed in: apt, whichever supervisor it has, and what must be true of it.

The assertions name everything the package puts on a system, once, so that every step of every test asks the same.
"""

import fnmatch
import json
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from rig.box import INIT, NO_INIT, Box, until

URL = "http://169.254.169.254/latest/meta-data/"
METADATA_ADDRESS = "169.254.169.254"
METADATA_IPV6 = "fd00:ec2::254"
INTERFACES = "/etc/network/interfaces"
# As installers of Debian and Vagrant's boxes write it.
LO_STANZA = "# The loopback network interface\nauto lo\niface lo inet loopback\n"
BLOCK = "# >>> fake-metadata"

# What any package leaves: apt's and dpkg's logs and caches, and the backups of the user database.
LEFT_BY_ANY_PACKAGE = [
    "/var/log/apt/*",
    "/var/log/dpkg.log",
    "/var/cache/apt/*",
    "/var/lib/apt/lists/auxfiles",
    "/var/lib/apt/extended_states",
    "/var/cache/debconf/*",
    "/var/lib/dpkg/*-old",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    # useradd writes the new user into these, and userdel does not take the place back.
    "/var/log/faillog",
    "/var/log/lastlog",
    # insserv's cache: the same services in an order that changes from run to run.
    "/etc/init.d/.depend.*",
]
# What any boot leaves.
LEFT_BY_ANY_BOOT = [
    "/var/log/journal/*",
    "/var/log/wtmp",
    "/var/log/dmesg*",
    "/var/log/fsck/*",
    "/var/lib/urandom/random-seed",
    "/var/lib/dbus/machine-id",
    "/var/lib/systemd/*",
    "/var/tmp/systemd-private-*",
]


def is_ours(text: str) -> bool:
    return METADATA_ADDRESS in text or METADATA_IPV6 in text


def others_rules(saved: str) -> list[str]:
    """iptables-save as `TABLE LINE`, in order, without our rules, comments and counters.

    A builtin chain that accepts and has no rule is left out: iptables-nft makes it with the first rule of a table
    and never takes it away, and it does nothing.
    """
    found, table = [], ""
    for line in saved.splitlines():
        line = re.sub(r"\s*\[\d+:\d+\]", "", line)
        if line.startswith("*"):
            table = line[1:]
        elif re.match(r"-|:(?!\w+ ACCEPT$)", line) and not is_ours(line):
            found.append(f"{table} {line}")
    return found


def others_ruleset(listed: str) -> list[str]:
    """`nft list ruleset` as `TABLE CHAIN LINE`, in order, with the same left out."""
    found, where = [], []
    for line in map(str.strip, listed.splitlines()):
        if line.endswith("{"):
            where.append(line[:-1].strip())
        elif line == "}":
            where.pop()
        elif line and not is_ours(line):
            of_iptables = re.fullmatch(r"table ip6? (raw|nat|filter|mangle)", where[0])
            if not (of_iptables and re.fullmatch(r"type .* policy accept;", line)):
                found.append(" ".join([*where, line]))
    return found


@dataclass
class System:
    """A box by name, such as `deb12-sysv`; what is after the dash tells its supervisor."""

    box: Box
    # What daemontools scans.
    services: str = "/etc/service"

    @property
    def supervisor(self) -> str:
        last = self.box.name.split("-")[1]
        return {"netplan": "systemd", "persistent": "systemd", "bare": "unbooted"}.get(last, last)

    def boot(self):
        self.box.up(NO_INIT if self.supervisor == "unbooted" else INIT)
        # Nothing here outlives a power cut of the machine that runs the tests.
        self.box.sh("echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/box")
        self.wait_booted()

    def reboot(self):
        self.box.reboot()
        self.wait_booted()

    def wait_booted(self):
        """Until init has done everything it does at boot."""
        if self.box.init == NO_INIT:
            return
        if self.supervisor == "systemd":
            states = ("running", "degraded", "maintenance")
            until(lambda: self.box.sh("systemctl is-system-running || :") in states, "boot systemd", 60)
        else:
            until(lambda: self.box.sh("runlevel || :") == "N 2" and not self.box.ok("pgrep", "-x", "rc"), "boot init", 60)
        if self.supervisor == "daemontools":
            # init starts it last, and then it does all by itself.
            until(lambda: self.box.ok("pgrep", "-x", "svscan"), "boot svscan", 60)

    # apt

    def install(self, deb: Path, *options: str) -> str:
        """apt-get install; returns what it printed."""
        inside = f"/tmp/{deb.name}"
        shutil.copy(deb, self.box.path(inside))
        # As `apt-get -y` is told where nobody can be asked about an edited conffile.
        keep = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
        return self.box.run("apt-get", "install", "-qq", "-y", *keep, *options, inside).stdout

    def remove(self) -> str:
        return self.box.run("apt-get", "remove", "-qq", "-y", "fake-metadata").stdout

    def purge(self) -> str:
        return self.box.run("apt-get", "purge", "-qq", "-y", "fake-metadata").stdout

    def version(self) -> str:
        return self.box.sh("dpkg-query -W -f '${Version}' fake-metadata")

    # the service

    @property
    def service(self) -> str:
        return f"{self.services}/fake-metadata"

    def disable(self):
        """As an administrator of this system would: stopped, now and after a boot."""
        self.box.sh(
            {
                "systemd": "systemctl disable --now fake-metadata",
                "sysv": "update-rc.d fake-metadata disable; invoke-rc.d fake-metadata stop",
                "daemontools": f"cd {self.service}; rm {self.service}; svc -dx . log",
            }[self.supervisor]
        )
        until(lambda: not self.processes(), "stop the daemon")

    def enable(self):
        self.box.sh(
            {
                "systemd": "systemctl enable --now fake-metadata",
                "sysv": "update-rc.d fake-metadata enable; invoke-rc.d fake-metadata start",
                "daemontools": f"ln -s /usr/share/fake-metadata/daemontools {self.service}",
            }[self.supervisor]
        )
        until(self.answers, "start the daemon")

    def supervised(self) -> list[str]:
        """The supervisors that have the daemon running now."""
        by = {
            "systemd": "[ -d /run/systemd/system ] && systemctl is-active --quiet fake-metadata",
            "sysv": "[ ! -d /run/systemd/system ] && /etc/init.d/fake-metadata status >/dev/null",
            "daemontools": f"svstat {self.service} 2>/dev/null | grep -q ': up '",
        }
        return [name for name, test in by.items() if self.box.ok("sh", "-c", test)]

    def processes(self) -> list[int]:
        """The daemon's process numbers, as the box counts them."""
        found = self.box.run("pgrep", "-f", "^/usr/bin/fake-metadata serve", check=False).stdout
        return [int(line) for line in found.split()]

    def answers(self) -> bool:
        return "instance-id" in self.box.run("curl", "-sf", "-m", "2", URL, check=False).stdout.split()

    # the network

    def addresses(self) -> dict:
        """Interface -> its addresses with prefix and scope, in order."""
        links = json.loads(self.box.sh("ip -j addr show"))
        return {
            link["ifname"]: [(a["local"], a["prefixlen"], a["scope"]) for a in link["addr_info"]] for link in links
        }

    def rules(self, backend: str) -> str:
        """Every table of iptables and ip6tables in the back end `nft` or `legacy`."""
        return self.box.sh(f"iptables-{backend}-save 2>/dev/null; ip6tables-{backend}-save 2>/dev/null")

    def network(self) -> dict:
        """All that others have set up, to be compared: addresses, rules, and nftables' own tables."""
        addresses = {
            name: [a for a in here if not is_ours(a[0])] for name, here in self.addresses().items()
        }
        return {
            "addresses": addresses,
            "nft": others_rules(self.rules("nft")),
            "legacy": others_rules(self.rules("legacy")),
            "ruleset": others_ruleset(self.box.sh("nft -s list ruleset 2>/dev/null")),
        }

    def our_rules(self) -> list[str]:
        """Our rules in both back ends: `TABLE RULE`."""
        found = []
        for backend in ("nft", "legacy"):
            table = ""
            for line in self.rules(backend).splitlines():
                if line.startswith("*"):
                    table = line[1:]
                if is_ours(line):
                    found.append(f"{table} {line}")
        return found

    def assert_network(self):
        """The address once, scope host; the redirect and the guard once, in one back end; the block once."""
        on_lo = [a for a in self.addresses()["lo"] if a[0] == METADATA_ADDRESS]
        assert on_lo == [(METADATA_ADDRESS, 32, "host")]
        rules = self.our_rules()
        # Where the box has IPv6 the same once more.
        ipv6 = [r for r in rules if METADATA_IPV6 in r]
        assert len(ipv6) == (2 if METADATA_IPV6 in [a[0] for a in self.addresses()["lo"]] else 0), rules
        rules = [r for r in rules if r not in ipv6]
        redirects = [r for r in rules if r.startswith("nat -A OUTPUT ") and "-j REDIRECT --to-ports 8000" in r]
        guards = [r for r in rules if r.startswith("raw -A PREROUTING ") and r.endswith("-j DROP")]
        assert (len(redirects), len(guards), len(rules)) == (1, 1, 2), rules
        if self.box.path(INTERFACES).exists() and "iface lo" in self.interfaces():
            assert self.interfaces().count(BLOCK) == 1
        assert self.box.sh("fake-metadata-setup status").splitlines()[0] == "applied"

    def assert_no_network(self):
        assert not [a for a in self.addresses()["lo"] if is_ours(a[0])]
        assert self.our_rules() == []
        if self.box.path(INTERFACES).exists():
            assert BLOCK not in self.interfaces()

    def interfaces(self) -> str:
        return self.box.path(INTERFACES).read_text()

    # the whole

    def assert_served(self, *, owners: bool = True):
        """Everything is in place, one supervisor has one daemon, and it answers. An older package's files may have other
        owners and modes."""
        until(self.answers, f"{self.box.name}: curl {URL}", 30)
        self.assert_network()
        assert self.supervised() == [self.supervisor]
        (pid,) = self.processes()
        status = self.box.path(f"/proc/{pid}/status").read_text()
        user = self.box.sh("id -u fake-metadata")
        assert re.search(rf"^Uid:\t{user}\t{user}\t{user}\t{user}$", status, re.M), status
        assert re.search(r"^CapPrm:\t0+\nCapEff:\t0+$", status, re.M), status
        if owners:
            self.assert_owners()

    OWNERS = {
        "/usr/bin/fake-metadata": "root:root 755",
        "/usr/sbin/fake-metadata-setup": "root:root 755",
        "/usr/lib/fake-metadata/supervisor": "root:root 755",
        "/etc/fake-metadata": "root:root 755",
        "/etc/fake-metadata/config.toml": "root:root 644",
        "/etc/fake-metadata/aws": "root:fake-metadata 2750",
        "/etc/default/fake-metadata": "root:root 644",
        "/etc/init.d/fake-metadata": "root:root 755",
        "/etc/logrotate.d/fake-metadata": "root:root 644",
        "/var/lib/fake-metadata": "fake-metadata:fake-metadata 700",
        "/var/lib/fake-metadata-setup": "root:root 700",
        "/var/log/fake-metadata": "fake-metadata:adm 2750",
        "/run/fake-metadata": "fake-metadata:fake-metadata 750",
        "/run/fake-metadata/control.sock": "fake-metadata:fake-metadata 660",
    }

    def assert_owners(self):
        found = self.box.run("stat", "-c", "%n %U:%G %a", *self.OWNERS).stdout
        assert dict(line.split(" ", 1) for line in found.splitlines()) == self.OWNERS
        user = self.box.sh("getent passwd fake-metadata").split(":")
        assert user[5:] == ["/nonexistent", "/usr/sbin/nologin"]
        # Keys are the daemon's alone.
        for key in self.box.path("/var/lib/fake-metadata").iterdir():
            assert stat.S_IMODE(key.stat().st_mode) & 0o077 == 0, key

    def assert_gone(self):
        """After a removal: nothing runs, nothing leads anywhere, and what stays says nothing."""
        assert self.processes() == []
        self.assert_no_network()
        assert not self.box.ok("curl", "-sf", "-m", "1", URL)
        assert not self.box.path("/usr/share/fake-metadata").exists()
        for argv in (
            ["/etc/init.d/fake-metadata", "start"],
            ["/etc/init.d/fake-metadata", "status"],
            ["/etc/init.d/fake-metadata", "stop"],
            ["logrotate", "-f", "-s", "/tmp/logrotate", "/etc/logrotate.d/fake-metadata"],
        ):
            said = self.box.run(*argv)
            assert said.stdout == "", argv

    def assert_as_before(self, before: dict[str, tuple]):
        """After a purge: every file of the system as it was, but for what any package or boot leaves."""
        exempt = LEFT_BY_ANY_PACKAGE + LEFT_BY_ANY_BOOT
        after = self.box.listing()
        changed = {
            path: (before.get(path), after.get(path))
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path) and not any(fnmatch.fnmatch(path, p) for p in exempt)
        }
        assert changed == {}
        for path in after:
            if path.startswith("/etc/init.d/.depend."):
                assert "fake-metadata" not in self.box.path(path).read_text()
        assert not [p for p in after if "fake-metadata" in p and not any(fnmatch.fnmatch(p, e) for e in LEFT_BY_ANY_BOOT)]
        assert not self.box.ok("getent", "passwd", "fake-metadata")
        assert not self.box.ok("getent", "group", "fake-metadata")
