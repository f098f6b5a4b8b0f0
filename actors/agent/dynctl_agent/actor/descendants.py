"""Ends what descends from a process that is not ours."""

from __future__ import annotations

import os
import signal
import time

from .procfs import processes


def end_descendants(parent: int, grace: float) -> list[int]:
    """On the node: SIGTERM to the children of a process, the grace period, then
    SIGTERM, 5 s, SIGKILL, 5 s for all that descends from them or shares their groups.
    The pids that are left."""
    children = {p.pid for p in processes() if p.ppid == parent}
    family = set(children)

    def members() -> list[int]:
        """What lives of the family; it grows with what is found to belong to it."""
        table = list(processes())
        own = os.getpgid(0)
        groups = {p.pgrp for p in table if p.pid in children and p.pgrp == p.pid}
        grown = True
        while grown:
            grown = False
            for p in table:
                if p.pid not in family and p.pgrp != own and (p.ppid in family or p.pgrp in groups | children):
                    family.add(p.pid)
                    grown = True
        return [p.pid for p in table if p.pid in family and p.state not in ("Z", "X")]

    def send(pids: list[int], signum: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, signum)
            except OSError:
                pass

    for pids, signum, wait in (
        (children, signal.SIGTERM, grace),
        (None, signal.SIGTERM, 5.0),
        (None, signal.SIGKILL, 5.0),
    ):
        left = members()
        if not left:
            return []
        send(list(pids) if pids is not None else left, signum)
        end = time.monotonic() + wait
        while time.monotonic() < end and left:
            time.sleep(0.05)
            left = members()
            if pids is not None and not any(p in children for p in left):
                break
    return members()
