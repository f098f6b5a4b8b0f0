"""How soon Ray takes a node for dead: what its GCS was started with, for `dynctl doctor`.

Ray tells these settings nowhere. The GCS has them from its environment and from its
command line, which /proc shows on its own node to the user that it runs as. The agent is
on that node as a rule; where it is not, nothing is known.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping

from .observed import NodeHealth

# What counts where nothing is set, in Ray 2.60.
DEFAULTS = {"initialDelayMs": 5000, "periodMs": 3000, "timeoutMs": 10000, "failureThreshold": 5}
SETTINGS = {
    "initialDelayMs": "health_check_initial_delay_ms",
    "periodMs": "health_check_period_ms",
    "timeoutMs": "health_check_timeout_ms",
    "failureThreshold": "health_check_failure_threshold",
}
CONFIG = "--config_list="
# What nobody means is not told.
LONGEST = 10_000_000  # milliseconds
MOST = 1000  # failures


def settings(arguments: list[str], environment: Mapping[str, str]) -> NodeHealth | None:
    """Those of a GCS; None where they cannot be read. Its command line, with what
    `ray start --system-config` says, counts more than its environment."""
    found: dict[str, object] = {k: environment.get("RAY_" + name, DEFAULTS[k]) for k, name in SETTINGS.items()}
    try:
        for argument in arguments:
            if argument.startswith(CONFIG):
                given = json.loads(base64.b64decode(argument[len(CONFIG) :]))
                found.update({k: given[name] for k, name in SETTINGS.items() if name in given})
        numbers = {k: int(str(v)) for k, v in found.items()}
    except (ValueError, TypeError):
        return None
    if min(numbers.values()) < 0 or max(numbers.values()) > LONGEST or numbers["failureThreshold"] > MOST:
        return None
    return NodeHealth(
        initialDelayMs=numbers["initialDelayMs"], periodMs=numbers["periodMs"],
        timeoutMs=numbers["timeoutMs"], failureThreshold=numbers["failureThreshold"],
    )


def gcs(session: str) -> int:
    """The pid of the GCS of a Ray session on this node; 0 where there is none to be seen."""
    for pid in _pids():
        program, *arguments = _read(pid, "cmdline") or [""]
        if os.path.basename(program) == "gcs_server" and f"--session-name={session}" in arguments:
            return pid
    return 0


def of(pid: int) -> NodeHealth | None:
    """The settings of the GCS that is this process; None where they cannot be seen."""
    arguments, environment = _read(pid, "cmdline"), _read(pid, "environ")
    if not arguments or not environment:
        return None
    return settings(arguments, dict(v.split("=", 1) for v in environment if "=" in v))


def _pids() -> Iterator[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def _read(pid: int, name: str) -> list[str]:
    """The texts of a file of a process that ends each with a zero; none where it cannot be read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []
