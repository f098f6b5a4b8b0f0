"""Whether an engine whose worker says that it is not well makes progress after all.

A canary that waits behind a long prefill looks like one that nobody answers. What an
engine counts, and the CPU time of its processes, tell the one from the other.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from . import procfs

# What engines count of their own work; what Dynamo counts moves with each canary.
COUNTER = re.compile(rb"^(?:vllm|sglang|trtllm)[:_]\w*(?:_total|_count)(?:\{[^}\n]*\})? ([0-9.e+]+)", re.M)
# This part of a core, at least, is used by a process that computes.
WORKING = 0.2
# An engine that works and answers nothing for so long is taken for one that spins.
LIMIT = 600.0


def counted(metrics: bytes) -> float:
    """The sum of all that an engine has counted."""
    return sum(float(x) for x in COUNTER.findall(metrics))


def cpu_time(session: int) -> float:
    """Seconds of CPU that the processes of a session have used, without its leader
    where there are others: the leader answers, the others compute."""
    used, leader, others = 0.0, 0.0, False
    for p in procfs.processes():
        if p.session != session:
            continue
        seconds = _cpu(p.pid)
        if p.pid == session:
            leader = seconds
        elif p.state not in ("Z", "X"):
            used, others = used + seconds, True
    return used if others else leader


def _cpu(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            text = f.read()
    except OSError:
        return 0.0
    fields = text[text.rfind(b")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Progress:
    """Of one attempt, from one question to the next."""

    def __init__(self, cpu: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._cpu, self._clock = cpu, clock
        self._before: tuple[float, float, float] | None = None  # counted, CPU, when
        self._since = 0.0  # it has been working without a good word

    def well(self) -> None:
        """It has said that it is well."""
        self._before = None

    def made(self, metrics: bytes) -> bool:
        """Whether it has worked since the last question. The first one only notes
        where it stands."""
        now = (counted(metrics), self._cpu(), self._clock())
        before, self._before = self._before, now
        if before is None:
            self._since = now[2]
            return False
        if now[0] != before[0]:
            self._since = now[2]
            return True
        working = now[1] - before[1] >= WORKING * (now[2] - before[2])
        return working and now[2] - self._since < LIMIT
