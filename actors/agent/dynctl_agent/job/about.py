"""What the agent's node has, for `dynctl doctor`: told with the heartbeat."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Mapping, Sequence

from ..common.programs import search_path
from . import nodehealth
from .observed import Aside, NodeHealth

# Programs may be installed while the agent runs.
EVERY = 30.0
BINARIES = ("etcd", "nats-server")


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
        self._gcs = 0
        self._looked_at = -EVERY
        self._found: Aside = {}

    def value(self) -> Aside:
        """The fields of the heartbeat."""
        if time.monotonic() - self._looked_at >= EVERY:
            self._looked_at = time.monotonic()
            found = binaries(self._bin_dirs, os.environ)
            self._found = {"versions": versions(), "binaries": found, "nodeHealth": self._node_health()}
        return self._found

    def _node_health(self) -> NodeHealth | None:
        """As the GCS has it that runs now: one that was restarted is another process."""
        found = nodehealth.of(self._gcs) if self._gcs else None
        if found is None:
            self._gcs = nodehealth.gcs(self._session)
            found = nodehealth.of(self._gcs) if self._gcs else None
        return found
