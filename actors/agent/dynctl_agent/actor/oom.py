"""What the kernel says of processes that it killed for memory."""

from __future__ import annotations

import re

KILLS = re.compile(r"^oom_kill (\d+)$", re.M)


def kills(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int:
    """How many processes of this one's cgroup (Ray's container, mostly) the kernel has
    killed for memory so far; 0 where it does not tell."""
    try:
        with open(own, encoding="ascii") as f:
            entries = [line.rstrip("\n").split(":", 2) for line in f]
    except (OSError, UnicodeDecodeError):
        return 0
    for _, controllers, path in (e for e in entries if len(e) == 3):
        if controllers == "":
            files = [f"{root}{path}/memory.events", f"{root}/memory.events"]
        elif "memory" in controllers.split(","):
            files = [f"{root}/memory{path}/memory.oom_control", f"{root}/memory/memory.oom_control"]
        else:
            continue
        for name in files:
            count = _count(name)
            if count is not None:
                return count
    return 0


def _count(name: str) -> int | None:
    try:
        with open(name, encoding="ascii") as f:
            match = KILLS.search(f.read())
    except (OSError, UnicodeDecodeError):
        return None
    return int(match[1]) if match else None
