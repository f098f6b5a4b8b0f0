"""How many requests the end of a drain cost.

A worker that was told to end closes its system port at once, so it cannot be asked
any more. But its log says how many requests it waits for, and each that completes.
"""

from __future__ import annotations

import re

from . import logs, ownfile
from .health import UNKNOWN

WAITS = re.compile(r'Waiting for inflight requests to complete .*endpoint_name="?generate\b.*inflight_count=(\d+)')
COMPLETED = re.compile(r'request completed .*endpoint="?generate\b')
MOST = 16 << 20  # bytes of a log that are looked at


def mark(path: str) -> int:
    """Where the log of a process stands before it is told to end."""
    try:
        return ownfile.file_stat(path).st_size
    except OSError:
        return 0


def unfinished(path: str, since: int, before: int) -> int:
    """The requests that a worker has not completed. before is what it said to be under
    way when it was told to end (UNKNOWN: it did not say), since the mark of that time."""
    size = mark(path)
    if size < since:
        since = 0  # rotated meanwhile
    count = before
    for line in logs.plain(logs.read_tail(path, min(size - since, MOST))).splitlines():
        waits = WAITS.search(line)
        if waits:
            count = int(waits[1])
        elif count != UNKNOWN and COMPLETED.search(line):
            count = max(0, count - 1)
    return count
