"""A system that others have set up too: nothing of theirs is changed, moved or lost, with the package and after it."""

import pytest

from package.system import LO_STANZA
from rig.box import until

# Docker's and ufw's way of writing rules, an administrator's, and another user of the nat table's OUTPUT chain.
IPTABLES = """
ip link add docker0 type bridge
ip addr add 172.17.0.1/16 dev docker0
ip link set docker0 up
ip addr add 10.99.0.1/32 dev lo
ip addr add 10.99.0.2/32 dev lo label lo:vip
{iptables} -t nat -N DOCKER
{iptables} -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
{iptables} -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
{iptables} -t nat -A OUTPUT -d 10.99.0.1/32 -p tcp --dport 80 -m comment --comment "ours" -j REDIRECT --to-ports 8080
{iptables} -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
{iptables} -t nat -A DOCKER -i docker0 -j RETURN
{iptables} -t raw -A PREROUTING -d 192.0.2.0/24 -j DROP
{iptables} -P FORWARD DROP
{iptables} -N ufw-before-input
{iptables} -N ufw-user-input
{iptables} -A INPUT -j ufw-before-input
{iptables} -A INPUT -j ufw-user-input
{iptables} -A ufw-before-input -i lo -j ACCEPT
{iptables} -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{iptables} -A ufw-user-input -p tcp --dport 22 -j ACCEPT
{iptables} -P INPUT DROP
"""
NFTABLES = """
table inet firewall {
	set blocked { type ipv4_addr; elements = { 198.51.100.7 }; }
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established,related accept
		ip saddr @blocked drop
		tcp dport { 22, 443 } accept
	}
	chain output { type filter hook output priority filter; policy accept; }
}
table ip other {
	chain leaving { type nat hook output priority -90; ip daddr 10.99.0.9 tcp dport 80 redirect to :8081; }
}
"""
INTERFACES = "# by hand\n" + LO_STANZA + "\tup ip addr add 10.99.0.1/32 dev lo || true\n\nauto eth0\niface eth0 inet manual\n"


@pytest.mark.parametrize(
    "name, backend",
    [("deb12-systemd", "nft"), ("deb11-systemd", "legacy"), ("deb13-systemd", "nft")],
)
def test_what_others_have_set_up_stays(boot, deb, name, backend):
    system = boot(name)
    system.box.sh(f"update-alternatives --quiet --set iptables /usr/sbin/iptables-{backend}")
    system.box.sh(IPTABLES.format(iptables="iptables"))
    system.box.run("nft", "-f", "-", input=NFTABLES)
    system.box.path("/etc/network/interfaces").write_text(INTERFACES)
    files = system.box.listing()
    before = system.network()
    assert len(before[backend]) > 10 and "10.99.0.2" in str(before["addresses"])

    system.install(deb)
    system.assert_served()
    installed = system.network()
    assert installed["addresses"] == before["addresses"]
    assert installed[backend] == before[backend]

    system.purge()
    assert system.network() == before
    assert system.interfaces() == INTERFACES
    system.assert_as_before(files)


def test_other_programs_that_sweep_the_network(boot, deb):
    """networkd, netplan, nftables and ifupdown take away what they do not know; the network part comes back."""
    system = boot("deb12-netplan")
    box = system.box
    box.path("/etc/systemd/network/lo.network").write_text("[Match]\nName=lo\n[Network]\nAddress=10.99.0.5/32\n")
    box.path("/etc/netplan/eth.yaml").write_text(
        "network:\n  version: 2\n  ethernets:\n    any:\n      match: {name: 'eth*'}\n      dhcp4: true\n      optional: true\n"
    )
    box.sh("chmod 600 /etc/netplan/eth.yaml; systemctl enable -q --now systemd-networkd")
    system.install(deb)
    system.assert_served()
    for sweep in (
        "systemctl restart systemd-networkd",
        "systemctl stop systemd-networkd systemd-networkd.socket; systemctl start systemd-networkd",
        # It has udev look at the interfaces anew, for which a box's /sys is read-only.
        "mount -o remount,rw /sys; netplan apply; mount -o remount,ro /sys",
        "systemctl restart nftables",
        "systemctl reload nftables",
    ):
        box.sh(sweep)
        system.assert_served()
    system.reboot()
    system.assert_served()
    system.purge()
    system.assert_no_network()


def test_ifdown_and_ifup_of_lo(boot, deb):
    """ifupdown flushes lo at ifdown; the block in its stanza brings the address back."""
    system = boot("deb12-sysv", lo_stanza=True)
    system.box.sh("ifup lo || :")
    system.install(deb)
    system.assert_served()
    system.box.sh("ifdown --force lo")
    system.box.sh("ifup lo")
    system.assert_served()


NETWORK, AGAIN = "fake-metadata-network.service", "fake-metadata-network-again.service"


def test_rules_that_are_saved_and_restored(boot, deb):
    """netfilter-persistent restores what was saved, which may be from before the package or from after its removal."""
    system = boot("deb12-persistent")
    box = system.box
    box.write("/etc/iptables/rules.v4", "*nat\nCOMMIT\n*raw\nCOMMIT\n*filter\n-A INPUT -s 192.0.2.0/24 -j DROP\nCOMMIT\n")
    box.sh("systemctl disable -q --now netfilter-persistent")
    system.install(deb)
    system.assert_served()
    for command in ("systemctl enable -q --now netfilter-persistent", "systemctl restart netfilter-persistent"):
        box.sh(command)
        assert "192.0.2.0/24" in system.rules("nft")
        until(lambda: len(system.our_rules()) == 2, f"{command}: put the rules back")
        until(lambda: box.sh(f"systemctl show -P ActiveState {AGAIN}") == "inactive", f"{command}: end {AGAIN}")
        system.assert_served()
    system.reboot()
    system.assert_served()
    system.purge()
    system.assert_no_network()
    assert "192.0.2.0/24" in system.rules("nft")


def test_a_firewall_that_starts_later(boot, deb):
    """nftables starts with a `flush ruleset`, whenever somebody turns it on."""
    system = boot("deb12-systemd")
    box = system.box
    before = box.listing()
    system.install(deb)
    system.assert_served()
    said = box.run("systemd-analyze", "verify", "--man=no", NETWORK, AGAIN, "fake-metadata.service", "multi-user.target").stdout
    assert "fake-metadata" not in said and "cycle" not in said, said

    def swept_and_back(command: str):
        last = box.sh(f"systemctl show -P InvocationID {AGAIN}")
        box.sh(command)
        until(lambda: box.sh(f"systemctl show -P InvocationID {AGAIN}") != last, f"{command}: start {AGAIN}")
        until(lambda: box.sh(f"systemctl show -P ActiveState {AGAIN}") == "inactive", f"{command}: end {AGAIN}")
        system.assert_served()

    swept_and_back("systemctl enable -q --now nftables")
    box.sh("systemctl stop nftables")
    swept_and_back("systemctl start nftables")
    swept_and_back("systemctl restart nftables")
    system.reboot()
    system.assert_served()
    assert box.sh(f"systemctl show -P Result {AGAIN}") == "success"
    assert "ordering cycle" not in box.sh("journalctl -b --no-pager")

    # Who has disabled the network does not get it back with the firewall.
    box.sh(f"systemctl disable -q {NETWORK}")
    system.reboot()
    system.assert_no_network()
    box.sh("systemctl restart nftables")
    until(lambda: box.sh(f"systemctl show -P ActiveState {AGAIN}") == "inactive", f"end {AGAIN}")
    system.assert_no_network()
    box.sh(f"systemctl enable -q --now {NETWORK}")
    system.assert_served()

    box.sh("systemctl disable -q --now nftables")
    system.purge()
    system.assert_as_before(before)


@pytest.mark.parametrize("name", ["deb11-systemd", "deb12-systemd", "deb13-systemd"])
def test_a_target_that_is_known_some_time_after_the_boot(boot, deb, name):
    system = boot(name)
    box = system.box
    system.install(deb)
    config = box.read("/etc/fake-metadata/config.toml")
    assert "[network]\n" in config
    box.write("/etc/fake-metadata/config.toml", config.replace("[network]\n", '[network]\ntarget = "mock.internal:8080"\n'))
    system.reboot()
    until(lambda: box.sh(f"systemctl show -p NRestarts --value {AGAIN}") >= "2", "try again", 30)
    assert box.sh(f"systemctl show -p ActiveState --value {NETWORK}") == "failed"
    system.assert_no_network()
    box.sh("echo 10.99.0.9 mock.internal >> /etc/hosts")
    until(lambda: box.sh(f"systemctl show -p ActiveState --value {NETWORK}") == "active", "resolve", 30)
    assert any("--to-destination 10.99.0.9:8080" in rule for rule in system.our_rules()), system.our_rules()
    until(lambda: box.sh(f"systemctl show -p ActiveState --value {AGAIN}") == "inactive", "end")

    # What is wrong in the file no trying mends.
    box.write("/etc/fake-metadata/config.toml", config.replace("[network]\n", "[network]\nnonsense = 1\n"))
    assert not box.ok("systemctl", "restart", NETWORK)
    until(lambda: box.sh(f"systemctl show -p ActiveState --value {AGAIN}") == "failed", "give up")
    assert box.sh(f"systemctl show -p ExecMainStatus -p NRestarts {AGAIN}").splitlines() == ["NRestarts=0", "ExecMainStatus=78"]
