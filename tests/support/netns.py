"""Network namespaces that cannot be left behind: each is held by a process that ends with the test run.

Entered with nsenter, not `ip netns exec`, which remounts /sys and hides cgroups.
"""

import itertools
import os
import subprocess

METADATA_ADDRESS = "169.254.169.254"
METADATA_ADDRESS_6 = "fd00:ec2::254"
_numbers = itertools.count(1)


class Namespace:
    """A network namespace of its own with `lo` up."""

    def __init__(self):
        assert os.geteuid() == 0, "a network namespace needs root: run the tests as root"
        # `cat` ends when the pipe from this process does, and the namespace with it.
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--", "sh", "-c", "ip link set lo up && echo up && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout.readline() == b"up\n", "the namespace did not come up"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command to run it in here."""
        return ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--")

    def run(self, *argv: str, check: bool = True, timeout: float = 60, **more) -> subprocess.CompletedProcess:
        """Runs a command in here and keeps its output as text."""
        result = subprocess.run(
            [*self.prefix, *argv], capture_output=True, text=more.pop("text", True), timeout=timeout, **more
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{argv} ended with {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def lead_metadata_address_to(self, port: int):
        """Makes 169.254.169.254:80 lead to 127.0.0.1:PORT, as fake-metadata-setup does on a host."""
        self.run("ip", "addr", "add", f"{METADATA_ADDRESS}/32", "dev", "lo", "scope", "host")
        self.run(
            *("iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-d", f"{METADATA_ADDRESS}/32", "-p", "tcp"),
            *("--dport", "80", "-j", "REDIRECT", "--to-ports", str(port)),
        )

    def attach_container(self, container: "Namespace", network: str = "172.31.254"):
        """Puts the other namespace behind a bridge in this one, as a container engine does:
        NETWORK.1 is the bridge, NETWORK.2 the container, whose default route is the bridge."""
        number = next(_numbers)
        bridge, here, there = f"br{number}", f"vh{number}", f"vc{number}"
        self.run("ip", "link", "add", bridge, "type", "bridge")
        self.run("ip", "addr", "add", f"{network}.1/24", "dev", bridge)
        self.run("ip", "link", "set", bridge, "up")
        self.run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        self.run("ip", "link", "set", here, "master", bridge, "up")
        self.run("ip", "link", "set", there, "netns", str(container.holder.pid))
        container.run("ip", "addr", "add", f"{network}.2/24", "dev", there)
        container.run("ip", "link", "set", there, "up")
        container.run("ip", "route", "add", "default", "via", f"{network}.1")
        return bridge

    def lead_containers_to(self, bridge: str, address: str, port: int):
        """Makes 169.254.169.254:80 lead to ADDRESS:PORT for what comes in from the bridge."""
        self.run(
            *("iptables", "-w", "-t", "nat", "-A", "PREROUTING", "-i", bridge, "-d", f"{METADATA_ADDRESS}/32"),
            *("-p", "tcp", "--dport", "80", "-j", "DNAT", "--to-destination", f"{address}:{port}"),
        )
