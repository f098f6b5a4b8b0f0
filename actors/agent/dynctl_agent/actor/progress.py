"""Whether an engine whose worker reports itself unwell makes progress after all.

A canary that waits behind a long prefill looks like one that nobody answers, and so does
one that waits for what comes from a slow disk. What an engine counts, and what its
processes use of the CPU and read from disks, tell the one from the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from . import procfs

# What engines count of their own work; what Dynamo counts moves with each canary.
COUNTER = re.compile(rb"^(?:vllm|sglang|trtllm)[:_]\w*(?:_total|_count)(?:\{[^}\n]*\})? ([0-9.e+]+)", re.M)
# This part of a core, at least, is used by a process that computes.
WORKING = 0.2
# And these bytes a second are read, at least, by one that waits for a disk: 16 pages.
READING = 65536.0
# An engine that works and answers nothing for so long is taken for one that spins.
LIMIT = 600.0


def counted(metrics: bytes) -> float:
    """The sum of all that an engine has counted."""
    return sum(float(x) for x in COUNTER.findall(metrics))


class Work(NamedTuple):
    """What processes have done since they began."""

    cpu: float = 0.0  # seconds of CPU
    read: float = 0.0  # bytes that came from a disk, page faults included


def work(session: int) -> Work:
    """What the processes of a session have done, without its leader where there are
    others: the leader answers, the others compute."""
    all_of_it = [p for p in procfs.processes() if p.session == session]
    others = [p.pid for p in all_of_it if p.pid != session and p.state not in ("Z", "X")]
    pids = others or [p.pid for p in all_of_it if p.pid == session]
    return Work(sum(map(procfs.cpu_seconds, pids)), sum(map(procfs.bytes_read, pids)))


class Progress:
    """Of one attempt, from one question to the next."""

    def __init__(self, done: Callable[[], Work], clock: Callable[[], float] = time.monotonic) -> None:
        self._done, self._clock = done, clock
        self._before: tuple[float, Work, float] | None = None  # counted, done, when
        self._since = 0.0  # it has been working without a good word

    def well(self) -> None:
        """It has said that it is well."""
        self._before = None

    def made(self, metrics: bytes) -> bool:
        """Whether it has worked since the last question. The first one only notes
        where it stands."""
        now = (counted(metrics), self._done(), self._clock())
        before, self._before = self._before, now
        if before is None:
            self._since = now[2]
            return False
        if now[0] != before[0]:
            self._since = now[2]
            return True
        took = now[2] - before[2]
        computes = now[1].cpu - before[1].cpu >= WORKING * took
        reads = now[1].read - before[1].read >= READING * took
        return (computes or reads) and now[2] - self._since < LIMIT
