"""Waiting for a condition instead of for time to pass."""

import time


def until(condition, what: str, within: float = 10.0, every: float = 0.01):
    """The first true value of `condition()`; fails the test when there is none within so many seconds."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within} s")
        time.sleep(every)
