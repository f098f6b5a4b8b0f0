"""Where the programs of processes are found."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

# What the infra unit executes beside Dynamo's frontend. Where a node has none of its own,
# those of the reconciler travel there as a package in Ray's store.
BINARIES = ("etcd", "nats-server")


def search_path(inherited: Mapping[str, str], bin_dirs: Sequence[str]) -> str:
    """Where programs are looked for: beside Python, in --bin-dir, on PATH."""
    return os.pathsep.join([os.path.dirname(sys.executable), *bin_dirs, inherited.get("PATH", os.defpath)])


def carried_dir(session_dir: str, package: str) -> str:
    """Where a package's programs lie on a node that has needed them; its name has their hash."""
    return os.path.join(session_dir, "dynctl_programs" + package_hash(package))


def package_hash(package: str) -> str:
    """Of a package's name in Ray's store, gcs://_ray_pkg_HASH.zip, with "_" in front."""
    return package.removeprefix("gcs://_ray_pkg").removesuffix(".zip").replace("/", "_")
