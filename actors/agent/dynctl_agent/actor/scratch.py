"""What an engine leaves on its node beside its files, and how it is cleared.

vLLM's processes talk over UNIX sockets with random names in the directory for temporary
files, and through segments of shared memory in /dev/shm. After a kill both stay, the
segments with hundreds of megabytes of memory. So an engine gets a directory of its own
for the first, and is watched for the second.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..common.log import log
from . import environ, ownfile, procfs
from .caches import Caches
from .reaper import Reaper

if TYPE_CHECKING:
    from ..common.template import ActorTemplate

# The path of a UNIX socket has at most 107 bytes; vLLM adds a slash and a UUID.
LONGEST, SOCKET = 107, 1 + 36
SHM = "/dev/shm"
# Names that are made up for each use: nobody looks for such a segment by its name once
# the processes that were told it are gone. Any other may be meant to stay.
MADE_UP = re.compile(r"psm_|sem\.(mp|loky)-|torch_\d|nccl-|ucx_shm_|cuda\.shm\.|vllm_(offload|ec)_|vllm_engram_")
# The inode alone tells: a semaphore is mapped before it gets its name, and shows under
# the one that it had then, as deleted.
MAPPED = re.compile(rb"^\S+ \S+ \S+ \S+ (\d+)\s+/dev/shm/", re.M)
LOOK = 2.0


class Scratch:
    """The directory for temporary files of one actor's processes. It lies in the unit's
    directory; where that is too long for a socket, a link to it stands in the node's."""

    def __init__(self, directory: str, label: str) -> None:
        token = secrets.token_hex(4)
        self.path = os.path.join(directory, f"{label}_{token}_tmp")
        self.link = os.path.join(tempfile.gettempdir(), f"dynctl-s-{token}")

    def make(self) -> str:
        """Make it, and tell under which name. Raises OSError."""
        self.clear()
        ownfile.make_directory(self.path)
        if fits(self.path):
            return self.path
        if not fits(self.link):
            raise OSError(f"{self.link} is too long for a socket; point TMPDIR of Ray's nodes to a shorter directory")
        os.symlink(self.path, self.link)
        return self.link

    def clear(self) -> None:
        """Remove it with all that is in it; only a link of ours goes."""
        try:
            ownfile.remove_entries(self.path, [])
        except FileNotFoundError:
            pass
        try:
            if os.readlink(self.link) == self.path:
                os.unlink(self.link)
        except OSError:
            pass  # none, or somebody else's


def fits(directory: str) -> bool:
    """Whether the path of a socket in it is short enough."""
    return len(os.fsencode(directory)) + SOCKET <= LONGEST


class Segments:
    """The segments of shared memory of one attempt: those that came into being after this
    was made and are mapped by a process of its session."""

    def __init__(self) -> None:
        self._before = segments()
        self.found: dict[str, int] = {}  # inode by name

    def look(self, session: int) -> set[str]:
        """Note what the processes of a session map now; the names that are new."""
        unknown = {n: i for n, i in segments().items() if self._before.get(n) != i and self.found.get(n) != i}
        if not unknown:
            return set()
        pids = [p.pid for p in procfs.processes() if p.session == session]
        theirs = mapped(pids)
        new = {n: i for n, i in unknown.items() if i in theirs}
        self.found.update(new)
        return set(new)

    def remove(self) -> None:
        """Remove what was noted, unless a process that lives has it mapped."""
        there = segments()
        left = {n: i for n, i in self.found.items() if there.get(n) == i}
        self.found = {}
        in_use = mapped([p.pid for p in procfs.processes()]) if left else set()
        for name, inode in left.items():
            if inode not in in_use:
                try:
                    os.unlink(os.path.join(SHM, name))
                except FileNotFoundError:
                    pass


def segments() -> dict[str, int]:
    """Inodes of this user's segments with made-up names, by name."""
    found = {}
    try:
        with os.scandir(SHM) as entries:
            for entry in entries:
                if MADE_UP.match(entry.name):
                    st = entry.stat(follow_symlinks=False)
                    if st.st_uid == os.geteuid():
                        found[entry.name] = st.st_ino
    except OSError:
        pass  # gone meanwhile, or none at all
    return found


def mapped(pids: Sequence[int]) -> set[int]:
    """Inodes of what processes map of /dev/shm."""
    found: set[int] = set()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps", "rb") as f:
                text = f.read()
        except OSError:
            continue
        found.update(int(inode) for inode in MAPPED.findall(text))
    return found


class Leftovers:
    """Of the attempts of one actor, one after the other."""

    def __init__(self, reaper: Reaper, caches: Caches) -> None:
        self._reaper, self._caches = reaper, caches
        self._scratch: Scratch | None = None
        self._segments: Segments | None = None

    def prepare(self, template: ActorTemplate, directory: str, inherited: Mapping[str, str]) -> dict[str, str]:
        """Before an attempt is executed: the variables that give it a directory of its
        own, and those of the node's caches. What the node's own environment says counts
        for more. It runs without where none can be made."""
        engine = environ.engine(template)
        self._segments = Segments() if engine else None
        if engine != "dynamo.vllm":
            return {}
        cached = self._caches.variables(inherited)
        if self._scratch is None:
            self._scratch = Scratch(directory, template["label"])
        try:
            path = self._scratch.make()
        except OSError as err:
            log("warn", "no directory for temporary files of a process's own", error=str(err))
            return cached
        for made in {self._scratch.path, path}:
            self._reaper.remove(made, os.lstat(made).st_ino)
        return {**cached, **{n: path for n in ("TMPDIR", "VLLM_RPC_BASE_PATH") if n not in inherited}}

    async def watch(self, session: int) -> None:
        """Note the segments of an attempt as they come, until cancelled."""
        while self._segments is not None:
            await self.look_again(session)
            await asyncio.sleep(LOOK)

    async def look_again(self, session: int) -> None:
        """Note those that there are now."""
        if self._segments is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._look, session)

    def _look(self, session: int) -> None:
        found = self._segments
        if found is None:
            return
        for name in found.look(session):
            self._reaper.remove(os.path.join(SHM, name), found.found[name])

    async def clear(self) -> None:
        """After the end of an attempt, once nothing of it lives."""
        if self._segments is not None or self._scratch is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._clear)

    def _clear(self) -> None:
        found, self._segments = self._segments, None
        try:
            if found is not None:
                found.remove()
            if self._scratch is not None:
                self._scratch.clear()
        except OSError as err:
            log("warn", "what a process left is not cleared", error=str(err))
