"""A system that others have set up too: nothing of theirs is changed, moved or lost, with the package and after it."""

import pytest

from package.system import LO_STANZA

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
