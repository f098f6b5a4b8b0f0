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


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used; 0 if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            text = f.read()
    except OSError:
        return 0.0
    fields = text[text.rfind(b")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bytes_read(pid: int) -> float:
    """What a process has had read from disks; 0 where that cannot be seen."""
    try:
        with open(f"/proc/{pid}/io", "rb") as f:
            fields = dict(line.split(b": ") for line in f)
        return float(fields[b"read_bytes"])
    except (OSError, KeyError, ValueError):
        return 0.0


LISTENING = "0A"  # the state in /proc/net/tcp


def listeners(port: int) -> set[str]:
    """What /proc calls the sockets that listen on a port of this network."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as f:
                next(f)
                rows = [line.split(None, 10) for line in f]
        except (OSError, StopIteration):
            continue
        ending = f":{port:04X}"
        found.update(f"socket:[{row[9]}]" for row in rows if row[3] == LISTENING and row[1].endswith(ending))
    return found


def listens(session: int, port: int) -> bool | None:
    """Whether who listens on a port is a process of a session; None if nobody does, or
    where the files of one cannot be seen (a program with capabilities of its own)."""
    sockets = listeners(port)
    if not sockets:
        return None
    try:
        own = [p.pid for p in processes() if p.session == session and p.state not in ("Z", "X")]
        return any(not sockets.isdisjoint(_files(pid)) for pid in own)
    except PermissionError:
        return None


def _files(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    try:
        for number in os.listdir(directory):
            try:
                yield os.readlink(f"{directory}/{number}")
            except FileNotFoundError:
                continue
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended
