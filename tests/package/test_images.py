"""Installed where nothing can be changed yet: the package installs, says one line, and works at the next boot."""

import shutil

import pytest

from rig.box import INIT, NO_INIT

POLICY = "/usr/sbin/policy-rc.d"


def ours(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("fake-metadata")]


def forbid(box):
    """Nothing is started or stopped by the package's scripts, as builders of images have it."""
    box.path(POLICY).write_text("#!/bin/sh\nexit 101\n")
    box.sh(f"chmod +x {POLICY}")


@pytest.mark.parametrize("name", ["deb12-systemd", "deb12-sysv", "deb12-daemontools", "deb12-netplan"])
def test_an_image_works_at_its_first_boot(boot, deb, name):
    """No init, no NET_ADMIN and a policy that forbids starting: what an image is built in."""
    system = boot(name)
    box = system.box
    box.reboot(NO_INIT)
    forbid(box)
    inside = f"/tmp/{deb.name}"
    box.path(inside).write_bytes(deb.read_bytes())
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"]
    said = box.run(*without, "apt-get", "install", "-qq", "-y", inside).stdout
    assert ours(said) == [
        "fake-metadata: no init runs here: it starts at the next boot, or now by: "
        "fake-metadata-setup apply; fake-metadata serve"
    ]
    system.assert_no_network()
    assert system.processes() == []

    box.path(POLICY).unlink()
    box.reboot(INIT)
    system.wait_booted()
    if name == "deb12-daemontools":
        # svscan starts after the init script: SysV init keeps it, and `dpkg-reconfigure` hands it over.
        assert system.supervised() == ["sysv"]
        box.sh("dpkg-reconfigure fake-metadata")
    system.assert_served()


@pytest.mark.parametrize("name", ["deb12-systemd", "deb12-sysv", "deb12-daemontools"])
def test_policy_rc_d_is_obeyed(boot, deb, name):
    system = boot(name)
    box = system.box
    forbid(box)
    system.install(deb)
    assert (system.supervised(), system.processes()) == ([], [])
    system.assert_no_network()
    box.path(POLICY).unlink()
    box.sh("dpkg-reconfigure fake-metadata")
    system.assert_served()


@pytest.mark.parametrize("name", ["deb12-systemd", "deb12-sysv", "deb12-daemontools"])
def test_a_purge_ends_the_daemon_whatever_policy_rc_d_says(boot, deb, name):
    system = boot(name)
    before = system.box.listing()
    network = system.network()
    system.install(deb)
    system.assert_served()
    forbid(system.box)
    system.purge()
    assert system.processes() == []
    system.box.path(POLICY).unlink()
    system.assert_as_before(before)
    system.assert_no_network()
    assert system.network() == network


def test_a_purge_goes_on_while_the_user_has_a_process(boot, deb):
    system = boot("deb12-systemd")
    box = system.box
    system.install(deb)
    box.sh("setpriv --reuid fake-metadata --regid fake-metadata --clear-groups sleep 1000 >/dev/null 2>&1 &")
    said = system.purge()
    assert ours(said) == ["fake-metadata: its user stays, for what is named above; then: userdel fake-metadata"], said
    assert box.sh("dpkg-query -W -f '${db:Status-Status}' fake-metadata 2>/dev/null || :") in ("", "not-installed")
    box.sh("pkill -x sleep; userdel fake-metadata")
    assert not [path for path in box.listing() if "fake-metadata" in path]


def test_a_chroot_leaves_the_machine_around_it_alone(boot, systems, deb):
    """An image built in a chroot, on a machine that has the package itself: its network and daemon stay as they are."""
    system = boot("deb12-systemd")
    system.install(deb)
    system.assert_served()
    network, processes = system.network(), system.processes()
    chroot = system.box.path("/srv/image")
    shutil.copytree(systems.root("deb12-bare"), chroot, symlinks=True, ignore=lambda folder, _: ["dev"] if folder.endswith("bare") else [])
    shutil.copy(deb, chroot / "tmp")
    system.box.sh("cd /srv/image; mkdir -p dev; mount -t proc proc proc; mount --bind /dev dev")
    said = system.box.sh(f"chroot /srv/image apt-get install -qq -y /tmp/{deb.name}")
    assert [line for line in ours(said) if "no init runs here" in line] == ours(said) != []
    system.box.sh("chroot /srv/image apt-get purge -qq -y fake-metadata")
    system.assert_served()
    assert (system.network(), system.processes()) == (network, processes)


def test_a_container_without_net_admin(boot, deb):
    """systemd runs, and may not touch the network: the daemon serves on loopback, and one line says what is missing."""
    system = boot("deb12-systemd")
    box = system.box
    dropins = [f"/run/systemd/system/fake-metadata-{name}.service.d" for name in ("network", "network-again")]
    for dropin in dropins:
        box.sh(f"mkdir -p {dropin}")
        box.path(f"{dropin}/x.conf").write_text("[Service]\nCapabilityBoundingSet=~CAP_NET_ADMIN\n")
    said = system.install(deb)
    assert ours(said) == [
        "fake-metadata: 169.254.169.254 does not lead here yet (systemctl status fake-metadata-network.service); "
        "mend it and run: systemctl restart fake-metadata-network.service"
    ]
    assert system.supervised() == ["systemd"]
    assert "instance-id" in box.sh("curl -sf http://127.0.0.1:8000/latest/meta-data/").split()
    system.assert_no_network()
    # Nobody tries again what no trying helps.
    again = "fake-metadata-network-again.service"
    assert box.sh(f"systemctl is-active {again} || :") == "inactive"
    box.sh(f"rm -r {' '.join(dropins)}; systemctl daemon-reload; systemctl restart fake-metadata-network.service")
    system.assert_served()
