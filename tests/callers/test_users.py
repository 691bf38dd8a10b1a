"""A role by local user: the owner of the client's socket, through the redirect and without it."""

import json
import socket
import subprocess
import sys

import pytest

from conftest import built
from support.daemon import Daemon
from support.roles import ROLE

ANN, BOB, CARL = 61001, 61002, 61003
CONFIG = f"""
[roles.Ann]
[roles.Bob]
[roles.Root]
[roles.Base]
[callers]
default = "Base"
[callers.users]
{ANN} = "Ann"
{BOB} = "Bob"
root = "Root"
"""

# Asks without closing in between, or says its last before it reads: what curl does not do.
CLIENT = r"""
import socket, sys
address, port, path, how = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
s = socket.create_connection((address, port), timeout=10)
s.sendall(f"GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n".encode())
if how == "half-close":
    s.shutdown(socket.SHUT_WR)
answer = b""
while part := s.recv(65536):
    answer += part
head, _, body = answer.partition(b"\r\n\r\n")
print(head.split()[1].decode(), body.decode())
"""


@pytest.fixture(scope="module")
def instance(make_instance):
    """A daemon that is not root, with the redirect that leads 169.254.169.254 to it."""
    return make_instance(CONFIG)


def ask(instance, uid: int, url: str = "http://169.254.169.254", path: str = ROLE) -> str:
    """What `curl` run by that user is given at a path."""
    return instance.run("setpriv", f"--reuid={uid}", "--clear-groups", "curl", "-sSf", url + path).stdout


def test_two_users_two_roles_through_169_254_169_254(instance):
    for uid, role in [(ANN, "Ann"), (BOB, "Bob"), (CARL, "Base"), (0, "Root")]:
        assert ask(instance, uid) == role
        assert f"instance-profile/{role}" in ask(instance, uid, path="/latest/meta-data/iam/info")
        document = json.loads(ask(instance, uid, path=ROLE + role))
        assert document["Code"] == "Success"


def test_with_the_packages_own_rules(binary, namespace, tmp_path):
    """As installed: the address and the rules are those of fake-metadata-setup, the daemon is no root."""
    setup_binary = built("-p", "fake-metadata-setup", name="fake-metadata-setup")
    config = f'listen = "127.0.0.1:8000"\n{CONFIG}\n[network]\nifupdown = false\n'
    with Daemon(binary, tmp_path / "daemon", config, listen=(), prefix=namespace.prefix) as daemon:
        setup = (str(setup_binary), "--config", str(daemon.config), "--state-dir", str(tmp_path / "setup"))
        namespace.run(*setup, "apply")
        for uid, role in [(ANN, "Ann"), (BOB, "Bob"), (CARL, "Base"), (0, "Root")] * 3:
            user = ("setpriv", f"--reuid={uid}", "--clear-groups")
            assert namespace.run(*user, "curl", "-sSf", "http://169.254.169.254" + ROLE).stdout == role
            others = {"Ann", "Bob", "Root", "Base"} - {role}
            for other in others:
                status = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}")
                assert namespace.run(*user, *status, f"http://169.254.169.254{ROLE}{other}").stdout == "404"
        namespace.run(*setup, "remove")


def test_without_the_redirect_too(instance):
    assert ask(instance, ANN, instance.daemon.url) == "Ann"
    assert ask(instance, BOB, instance.daemon.url) == "Bob"


def test_users_at_the_same_time(instance):
    users = [(ANN, "Ann"), (BOB, "Bob"), (CARL, "Base")] * 8
    command = "setpriv --reuid={} --clear-groups curl -sSf http://169.254.169.254" + ROLE
    running = [instance.spawn("sh", "-c", command.format(uid), stdout=subprocess.PIPE) for uid, _ in users]
    assert [process.communicate()[0].decode() for process in running] == [role for _, role in users]


def test_a_socket_that_is_not_established_is_nobodys(instance):
    """A client that has said its last before it was looked at: its user cannot be told, so it is given no
    role rather than the default one. Which of the two comes first is the kernel's choice."""
    for uid, role in [(ANN, "Ann"), (BOB, "Bob")] * 5:
        argv = ["setpriv", f"--reuid={uid}", "--clear-groups", sys.executable, "-c", CLIENT]
        status, _, body = instance.run(*argv, "169.254.169.254", "80", ROLE, "half-close").stdout.partition(" ")
        assert (status == "200" and body.strip() == role) or status == "404", (status, body)


def test_an_orphaned_socket_is_not_roots(serve):
    """Accepted only after its client has closed: the kernel shows user 0 for it, and no inode."""
    daemon = serve(CONFIG + "\n[log]\nlevel = \"debug\"\n")
    daemon.signal(19)  # SIGSTOP: the connection is made and closed before the daemon looks at it
    client = socket.create_connection(daemon.address)
    client.sendall(f"GET {ROLE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    port = client.getsockname()[1]
    client.close()
    daemon.signal(18)  # SIGCONT
    line = daemon.wait_for_log(f"127.0.0.1:{port} GET {ROLE}")
    assert f"GET {ROLE} 404 " in line
