"""One run of wrk and what it says."""

import math
import re
import subprocess
from dataclasses import dataclass

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}
# wrk goes by the time of day: when that is set during a run, answers take hours or less than nothing.
ATTEMPTS = 3


@dataclass
class Result:
    """Requests a second, and microseconds that half and 99 in 100 requests stayed below."""

    rate: float
    p50: float
    p99: float
    raw: str


def micros(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m|h)", text)
    # What is no number is no time that a run can have taken.
    return float(match[1]) * UNITS[match[2]] if match else math.inf


def run(url: str, connections: int, seconds: int, headers: list[str], script: str | None = None) -> Result:
    """Fails when a single answer was no 2xx or a socket failed. A run whose answers took longer than itself is done again."""
    for _ in range(ATTEMPTS):
        result = run_once(url, connections, seconds, headers, script)
        if max(result.p50, result.p99) <= seconds * 1e6:
            return result
        print(f"p50 {result.p50:.0f} us and p99 {result.p99:.0f} us in {seconds} s: the clock was set; again", flush=True)
    raise RuntimeError(result.raw)


def run_once(url: str, connections: int, seconds: int, headers: list[str], script: str | None) -> Result:
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for header in headers:
        argv += ["-H", header]
    argv += ["-s", script] if script else []
    raw = subprocess.run([*argv, url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in raw or "Socket errors" in raw:
        raise RuntimeError(raw)
    return Result(
        rate=float(re.search(r"Requests/sec:\s+([\d.]+)", raw)[1]),
        p50=micros(re.search(r"50%\s+(\S+)", raw)[1]),
        p99=micros(re.search(r"99%\s+(\S+)", raw)[1]),
        raw=" ".join(argv + [re.sub(r":\d+/", ":PORT/", url)]).replace(script or "\0", "put.lua") + "\n" + raw,
    )
