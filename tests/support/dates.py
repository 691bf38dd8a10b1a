"""Dates as the metadata service writes them."""

from contextlib import contextmanager
from datetime import datetime, timedelta, timezone


def now() -> datetime:
    return datetime.now(timezone.utc)


def parse(text: str) -> datetime:
    """`2026-11-21T18:30:00Z`, exactly: no fraction, no other zone."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def parse_maintenance(text: str) -> datetime:
    """`21 Nov 2026 18:30:00 GMT`, the day without a leading zero."""
    date = datetime.strptime(text, "%d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
    assert not text.startswith("0"), text
    return date


def rfc3339(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Span:
    """The moment at which something was done, as far as it is known from outside."""

    def __init__(self):
        self.begin = now()
        self.end = None

    def holds(self, at: datetime, **later) -> bool:
        """Whether `at`, in whole seconds, is so much later (timedelta's arguments) than what was done."""
        by = timedelta(**later)
        first = (self.begin + by).replace(microsecond=0)
        return first <= at <= self.end + by


@contextmanager
def span():
    """`with span() as done: ...`"""
    done = Span()
    yield done
    done.end = now()
