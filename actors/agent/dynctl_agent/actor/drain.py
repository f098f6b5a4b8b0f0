"""What a worker has under way before it is told to end, and what its end cost.

A worker that was told to end closes its system port at once, so it cannot be asked
any more. But its log says how many requests it waits for, and each that completes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from ..common.messages import UNKNOWN
from . import logs, ownfile

WAITS = re.compile(r'Waiting for inflight requests to complete .*endpoint_name="?generate\b.*inflight_count=(\d+)')
COMPLETED = re.compile(r'request completed .*endpoint="?generate\b')
MOST = 16 << 20  # bytes of a log that are looked at

# A worker that has left discovery is asked so often, and has finished once it had nothing
# under way for so long: what the frontend had chosen it for is there in 30 ms.
EVERY, IDLE = 0.1, 0.5
SILENCE = 3  # questions in a row without an answer: it is not waited for any more
# What Dynamo and the engine may take to end once all is finished.
RESERVE = 10.0


async def finished(under_way: Callable[[], Awaitable[int]], exited: asyncio.Future[int], grace: float) -> None:
    """Wait until a worker has finished what it has: no longer than its grace period
    allows, until it ends, or does not say."""
    begun = idle = time.monotonic()
    silent = 0
    while not exited.done() and time.monotonic() - begun < max(grace - RESERVE, grace / 2):
        count, now = await under_way(), time.monotonic()
        silent = silent + 1 if count == UNKNOWN else 0
        if count != 0:
            idle = now
        if silent >= SILENCE or now - idle >= IDLE:
            return
        await asyncio.wait([exited], timeout=EVERY)


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
