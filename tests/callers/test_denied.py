"""An engine's socket that may not be opened: said in `status` and in the log, with what to do."""

import json
import os
import socket

from support.daemon import run
from support.engine import asks_engine
from support.netns import Namespace
from support.roles import ROLE
from support.wait import until


def test_status_says_that_the_socket_is_denied(serve, binary, namespace, shared_folder):
    path = shared_folder / "denied.sock"
    with socket.socket(socket.AF_UNIX) as engine, Namespace() as container:
        engine.bind(str(path))
        engine.listen()
        path.chmod(0o660)  # as Docker's is: root's and its group's
        namespace.attach_container(container)
        folder = shared_folder / "denied"
        folder.mkdir()
        os.chown(folder, 61007, 61007)
        user = ("setpriv", "--reuid=61007", "--regid=61007", "--clear-groups", "--")
        config = asks_engine(path)
        control = folder / "control.sock"
        daemon = serve(config, folder=folder, listen=(), prefix=(*namespace.prefix, *user), control=control)

        def engines() -> list[dict]:
            status = run(binary, "status", "--json", "--control", str(control))
            found = json.loads(status.stdout)["engines"]
            return found if found and found[0]["error"] else []

        (engine_status,) = until(engines, "the engine has been tried")
        assert engine_status["socket"] == str(path) and engine_status["connected"] is False
        assert "permission denied" in engine_status["error"] and "worth root" in engine_status["error"]
        assert "permission denied" in run(binary, "status", "--control", str(control)).stdout
        daemon.wait_for_log(f"container engine {path}: connect: permission denied")
        # Whose container it is cannot be told: no role rather than another's. Callers on the host are none.
        assert namespace.run("curl", "-sSf", f"http://127.0.0.1:8000{ROLE}").stdout == "App"
        curl = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://172.31.254.1:8000{ROLE}")
        assert container.run(*curl).stdout == "404"
        assert daemon.log.count("permission denied") == 1
    path.unlink()
