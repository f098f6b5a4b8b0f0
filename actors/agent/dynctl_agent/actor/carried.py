"""etcd and nats-server for a node that has neither: those of the reconciler, out of a package
in Ray's store, unpacked once per node and Ray session."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Callable

from ..common.programs import BINARIES, carried_dir, package_hash
from . import ownfile
from .environ import ExecError

# Gets a package by its name; None: it is not there.
Fetch = Callable[[str], bytes | None]


def from_store(package: str) -> bytes | None:
    """A package out of the store of the Ray cluster that this process belongs to."""
    from ray.experimental.internal_kv import _internal_kv_get

    found: bytes | None = _internal_kv_get(package)
    return found


def with_carried(program: object, path: str, package: str, session_dir: str, fetch: Fetch = from_store) -> str:
    """The path to look for a program in: what the node has itself comes first. Raises
    ExecError if the package is needed and not in Ray's store yet, OSError."""
    if program not in BINARIES or shutil.which(str(program), path=path):
        return path
    return path + os.pathsep + unpack(package, session_dir, fetch)


def unpack(package: str, session_dir: str, fetch: Fetch) -> str:
    """The directory of a package's programs."""
    directory = carried_dir(session_dir, package)
    if os.path.isdir(directory):
        os.close(ownfile.open_directory(directory))  # of ours, or it is not used
        return directory
    packed = fetch(package)
    where = f"on node {os.uname().nodename}"
    if packed is None:
        both = " and ".join(BINARIES)
        raise ExecError(f"{both} are not installed {where}, and those of the reconciler are on their way there")
    files = read(packed)
    if digest(files) != package_hash(package):
        raise ExecError(f"{package} in Ray's store is not what its name says: it is not executed {where}")
    made = f"{directory}.{os.getpid()}"
    ownfile.make_directory(made)
    try:
        for name, content in files.items():
            with open(os.path.join(made, name), "wb", opener=ownfile.opener) as f:
                os.fchmod(f.fileno(), 0o700)
                f.write(content)
        os.rename(made, directory)
    except OSError:
        shutil.rmtree(made)
        if not os.path.isdir(directory):
            raise
        os.close(ownfile.open_directory(directory))  # another actor of this node was faster
    return directory


def read(packed: bytes) -> dict[str, bytes]:
    """The programs of a package. Raises ExecError if it holds anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as z:
            if sorted(z.namelist()) != sorted(BINARIES):
                raise ExecError(f"the package of programs in Ray's store holds {z.namelist()[:5]}")
            return {name: z.read(name) for name in BINARIES}
    except zipfile.BadZipFile as err:
        raise ExecError(f"the package of programs in Ray's store: {err}") from None


def digest(files: dict[str, bytes]) -> str:
    """As the reconciler makes the name of a package (actors/ray/package.go)."""
    h = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            h.update(len(part).to_bytes(8, "big") + part)
    return "_" + h.hexdigest()[:32]
