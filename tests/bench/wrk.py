"""One run of wrk and what it says."""

import re
import subprocess
from dataclasses import dataclass

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}


@dataclass
class Result:
    """Requests a second, and microseconds that half and 99 in 100 requests stayed below."""

    rate: float
    p50: float
    p99: float
    raw: str


def micros(raw: str, percentile: int) -> float:
    """That percentile, of the lines of its own: other lines of wrk's have percentages too."""
    number, unit = re.search(rf"^ +{percentile}% +([\d.]+)(us|ms|s|m|h)$", raw, re.MULTILINE).groups()
    return float(number) * UNITS[unit]


def run(url: str, connections: int, seconds: int, headers: list[str], script: str | None = None) -> Result:
    """Fails when a single answer was no 2xx or a socket failed."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for header in headers:
        argv += ["-H", header]
    argv += ["-s", script] if script else []
    raw = subprocess.run([*argv, url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in raw or "Socket errors" in raw:
        raise RuntimeError(raw)
    return Result(
        rate=float(re.search(r"Requests/sec:\s+([\d.]+)", raw)[1]),
        p50=micros(raw, 50),
        p99=micros(raw, 99),
        raw=" ".join(argv + [re.sub(r":\d+/", ":PORT/", url)]).replace(script or "\0", "put.lua") + "\n" + raw,
    )
