"""Prints `PASSED FAILED` of a JUnit report. A skipped test counts as failed: nothing may skip and pass."""

import sys
import xml.etree.ElementTree as ET


def count(path: str) -> tuple[int, int]:
    """Passed and failed test cases; a test whose teardown failed has failed, once."""
    bad = good = 0
    for case in ET.parse(path).iter("testcase"):
        if any(case.find(kind) is not None for kind in ("failure", "error", "skipped")):
            bad += 1
        else:
            good += 1
    return good, bad


if __name__ == "__main__":
    print(*count(sys.argv[1]))
