"""What the agent's node has, for `dynctl doctor`: told with the heartbeat."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ..common.programs import BINARIES, carried_dir, search_path
from . import nodehealth
from .observed import Aside, NodeHealth, Programs

# Programs may be installed while the agent runs.
EVERY = 30.0
# How long etcd and NATS wait for the package that they may need, in seconds.
CARRYING = 10.0
NOT_WANTED: Programs = {"package": "", "directory": "", "wanted": False}


def version_of(distribution: str) -> str:
    """Of an installed Python distribution; "" when there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """Python, Ray and Dynamo."""
    return {"python": platform.python_version(), "ray": version_of("ray"), "dynamo": version_of("ai-dynamo")}


def binaries(bin_dirs: Sequence[str], inherited: Mapping[str, str]) -> dict[str, str]:
    """The paths of the infra unit's programs, found as its actors find them; "" where
    there is none."""
    path = search_path(inherited, bin_dirs)
    return {name: shutil.which(name, path=path) or "" for name in BINARIES}


class About:
    """All of it, looked at again now and then."""

    def __init__(self, bin_dirs: Sequence[str], session: str) -> None:
        self._bin_dirs = bin_dirs
        self._session = session
        # The reconciler's etcd and nats-server; package "": it has none to give.
        self.package, self.session_dir = "", ""
        # Whether they were missed on some node, and whether a package is in Ray's store.
        self.missed: Callable[[], bool] = lambda: False
        self.stored: Callable[[str], Awaitable[bool]]
        self._gcs = 0
        self._looked_at = -EVERY
        self._found: Aside = {}

    def value(self) -> Aside:
        """The fields of the heartbeat."""
        if time.monotonic() - self._looked_at >= EVERY:
            self._looked_at = time.monotonic()
            found = binaries(self._bin_dirs, os.environ)
            self._found = {"versions": versions(), "binaries": found, "nodeHealth": self._node_health()}
        if self.package:
            self._found["programs"] = self._programs()
        return self._found

    def _programs(self) -> Programs:
        """Those of the reconciler: whether its package is wanted in Ray's store, where the
        actors that need it look for it."""
        directory = carried_dir(self.session_dir, self.package)
        if not os.path.isdir(directory):
            directory = ""
        lacks = not all(self._found["binaries"].values()) and not directory
        return {"package": self.package, "directory": directory, "wanted": lacks or self.missed()}

    async def carried(self) -> None:
        """Until the package is where those look for it who need it; not for long, since it
        may never come."""
        late = time.monotonic() + CARRYING
        while self.value().get("programs", NOT_WANTED)["wanted"] and time.monotonic() < late:
            if await self.stored(self.package):
                return
            await asyncio.sleep(0.1)

    def _node_health(self) -> NodeHealth | None:
        """As the GCS has it that runs now: one that was restarted is another process."""
        found = nodehealth.of(self._gcs) if self._gcs else None
        if found is None:
            self._gcs = nodehealth.gcs(self._session)
            found = nodehealth.of(self._gcs) if self._gcs else None
        return found
