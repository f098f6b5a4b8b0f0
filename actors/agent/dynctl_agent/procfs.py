"""What /proc says about processes.

Signals and waits alone cannot tell whether a group is gone: in a container whose
first process does not reap, zombies answer to signal 0 for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that tell who a process belongs to."""

    pid: int
    state: str
    ppid: int
    pgrp: int
    session: int


def stat(pid: int) -> Stat | None:
    """The stat of a process, or None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            text = f.read()
    except OSError:
        return None
    # The command stands in parentheses and may itself hold spaces and parentheses.
    fields = text[text.rfind(b")") + 2 :].split(b" ", 5)
    return Stat(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]))


def alive(pid: int) -> bool:
    """True for a process that runs; a zombie does not."""
    s = stat(pid)
    return s is not None and s.state not in ("Z", "X")


def processes() -> Iterator[Stat]:
    """Every process that this one can see."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            s = stat(int(name))
            if s is not None:
                yield s
