"""A million token requests and reads over 64 connections at once."""

import json
import signal
import subprocess

import pytest

from conftest import TESTS, built

from .conftest import MEMORY_LIMIT_KIB, assert_serves_at_once

CONNECTIONS = 64
REQUESTS = 1_000_000
# What an allocator may still keep after a warm-up of the same kind.
FLAT_WITHIN_KIB = 2048
# Paths of different kinds and lengths, so that an answer to another request shows.
PATHS = [
    "/",
    "/latest/meta-data/",
    "/latest/meta-data/instance-id",
    "/latest/meta-data/local-ipv4",
    "/latest/meta-data/mac",
    "/latest/meta-data/placement/availability-zone",
    "/latest/meta-data/iam/security-credentials/BaseIAMRole",
    "/latest/meta-data/iam/info",
    "/latest/dynamic/instance-identity/document",
    "/latest/dynamic/instance-identity/rsa2048",
    "/2009-04-04/meta-data/",
    "/2021-03-23/meta-data/reservation-id",
]


@pytest.fixture(scope="module")
def load():
    program = built(name="load", cwd=TESTS / "load")

    def run(daemon, requests: int) -> dict:
        host, port = daemon.address
        result = subprocess.run(
            [program, f"{host}:{port}", str(CONNECTIONS), str(requests), *PATHS], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


@pytest.mark.timeout(900)
def test_a_million_requests_get_their_own_answers_and_leave_memory_flat(serve, load, capsys):
    daemon = serve()
    load(daemon, 50_000)
    before = daemon.memory("VmRSS")
    done = load(daemon, REQUESTS)
    after, peak = daemon.memory("VmRSS"), daemon.memory("VmHWM")
    with capsys.disabled():
        print(
            f"\n{done['tokens']} token requests and {done['reads']} reads over {done['connections']} connections"
            f" in {done['seconds']} s; resident memory {before} KiB before, {after} KiB after, {peak} KiB at most"
        )
    assert done["tokens"] + done["reads"] == REQUESTS
    assert after - before < FLAT_WITHIN_KIB
    assert peak < MEMORY_LIMIT_KIB
    assert_serves_at_once(daemon)


def test_the_load_program_notices_an_answer_that_belongs_to_another_path(serve, load, tmp_path):
    """Proof that the check can fail: the value changes while the program runs."""
    daemon = serve("[tree]\n\"/latest/meta-data/probe\" = \"one\"\n")
    host, port = daemon.address
    process = subprocess.Popen(
        [built(name="load", cwd=TESTS / "load"), f"{host}:{port}", "2", "100000000", "/latest/meta-data/probe"],
        stderr=subprocess.PIPE,
        text=True,
    )
    daemon.wait_for_log("/latest/meta-data/probe")
    daemon.config.write_text("[tree]\n\"/latest/meta-data/probe\" = \"two\"\n")
    daemon.signal(signal.SIGHUP)
    assert process.wait(30) == 1
    assert "/latest/meta-data/probe: status 200, a body of 3 bytes" in process.stderr.read()
    process.stderr.close()
