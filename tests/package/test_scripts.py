"""The maintainer scripts themselves: every action of dpkg, refusal of any other, and what they may not trust."""

import subprocess

import pytest

ACTIONS = {
    "postinst": ["configure", "abort-upgrade", "abort-remove", "abort-deconfigure"],
    "prerm": ["remove", "upgrade", "failed-upgrade", "deconfigure"],
    "postrm": ["purge", "remove", "upgrade", "failed-upgrade", "abort-install", "abort-upgrade", "disappear"],
}


@pytest.fixture(scope="module")
def scripts(deb, tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    subprocess.run(["dpkg-deb", "-e", deb, folder], check=True)
    return folder


@pytest.mark.parametrize("script", ACTIONS)
def test_shellcheck(scripts, script):
    subprocess.run(["shellcheck", "--shell=sh", scripts / script], check=True)


@pytest.mark.parametrize("script", ACTIONS)
@pytest.mark.parametrize("action", ["", "dance", "configured"])
def test_an_unknown_action_is_refused(scripts, script, action):
    done = subprocess.run(["sh", scripts / script, action], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{script} called with unknown argument `{action}'\n"


def control(system, script: str, *argv: str) -> str:
    return system.box.run(f"/var/lib/dpkg/info/fake-metadata.{script}", *argv).stdout


def test_every_action_of_dpkg(boot, deb):
    """As Debian policy's chapter 6 calls them, and what each must leave."""
    system = boot("deb12-systemd")
    system.install(deb)
    new = system.version()
    for action in (["upgrade", new], ["failed-upgrade", new], ["deconfigure", "in-favour", "x", "1"]):
        control(system, "prerm", *action)
        system.assert_served()
    for action in ("upgrade", "failed-upgrade", "abort-upgrade"):
        control(system, "postrm", action, new)
        system.assert_served()
    for action in (["abort-upgrade", new], ["abort-deconfigure", "in-favour", "x", "1"], ["configure", new]):
        control(system, "postinst", *action)
        system.assert_served()
    # A removal that fails later is taken back.
    control(system, "prerm", "remove")
    assert system.processes() == []
    system.assert_no_network()
    control(system, "postinst", "abort-remove")
    system.assert_served()
    for action in ("abort-install", "disappear"):
        control(system, "postrm", action, "x", new)
        system.assert_served()


def test_a_persons_profiles_are_closed_to_others_and_open_to_the_daemon(boot, deb):
    system = boot("deb12-systemd")
    box = system.box
    system.install(deb)
    box.sh("umask 022; echo secret > /etc/fake-metadata/aws/credentials; umask 077; echo x > /etc/fake-metadata/aws/config")
    box.sh("echo mine > /root/mine; chmod 600 /root/mine; ln -s /root/mine /etc/fake-metadata/aws/other")
    system.install(deb, "--reinstall")
    for name in ("config", "credentials"):
        assert box.sh(f"stat -c '%U:%G %a' /etc/fake-metadata/aws/{name}") == "root:fake-metadata 640"
    assert box.sh("stat -c '%U:%G %a' /root/mine") == "root:root 600"
    assert not box.ok("setpriv", "--reuid", "nobody", "--clear-groups", "cat", "/etc/fake-metadata/aws/credentials")


def test_an_override_of_an_administrator_stays(boot, deb):
    system = boot("deb12-systemd")
    system.install(deb)
    system.box.sh("dpkg-statoverride --update --add root adm 2755 /var/log/fake-metadata")
    system.install(deb, "--reinstall")
    assert system.box.sh("stat -c '%U:%G %a' /var/log/fake-metadata") == "root:adm 2755"


def test_purge_with_people_in_the_group(boot, deb):
    system = boot("deb12-systemd")
    system.install(deb)
    system.box.sh("useradd ann; usermod -aG fake-metadata ann")
    said = system.purge()
    assert "userdel" not in said and "groupdel" not in said
    assert not system.box.ok("getent", "group", "fake-metadata")
    assert not system.box.ok("getent", "passwd", "fake-metadata")
