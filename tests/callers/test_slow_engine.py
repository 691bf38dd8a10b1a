"""A container engine that does not answer in time: what does not depend on the caller's role does not wait for it."""

import socket
import sys

from support.engine import asks_engine
from support.netns import Namespace
from support.roles import ROLE
from support.wait import until

# Asks for its role, then for everything else, and looks whether the first answer is there already.
ASK = """
import select, socket, sys

def send(method, path, headers=""):
    connection = socket.create_connection(("172.31.254.1", 8000), 10)
    connection.sendall(f"{method} {path} HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\n{headers}\\r\\n".encode())
    return connection

def status(connection):
    answer = connection.makefile("rb").read().decode()
    return answer.split()[1] + ("iam" if "iam/" in answer else "")

waiting = [send("GET", path) for path in sys.argv[1:]]
first = [status(send("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n"))]
first += [status(send("GET", path)) for path in ("/latest/meta-data/instance-id", "/latest/dynamic/nothing")]
print(*first, len(select.select(waiting, [], [], 0)[0]), *map(status, waiting))
"""


def test_only_what_depends_on_the_role_waits(serve, namespace, shared_folder):
    path = shared_folder / "silent.sock"
    with socket.socket(socket.AF_UNIX) as engine, Namespace() as container:
        # Connections wait in its queue, as when the engine's process is stopped.
        engine.bind(str(path))
        engine.listen()
        namespace.attach_container(container)
        daemon = serve(asks_engine(path), listen=(), prefix=namespace.prefix)
        waits = [ROLE, ROLE + "App", "/latest/meta-data/%69am/info", "/latest/meta-data/"]
        said = container.run(sys.executable, "-c", ASK, *waits).stdout.split()
        # Whose container it is cannot be told: no role rather than the default one.
        assert said == ["200", "200", "404", "0", "404", "404", "404", "200"]
        daemon.wait_for_log("172.31.254.2: no container engine answered within 5s")
        # Unless somebody has the role matter everywhere.
        control = ("--control", str(daemon.control))
        namespace.run(str(daemon.binary), "fault", "add", "status", "503", "--caller", "App", *control)
        url = "http://172.31.254.1:8000/latest/meta-data/instance-id"
        container.run("curl", "-sSf", url)  # not struck: it has no role
        until(lambda: daemon.log.count("no container engine answered") == 5, "each of them has waited")
    path.unlink()
