"""The command lines that the programs of Dynamo take on the nodes, read from the
programs themselves: once for each set of versions, in a process of its own, when nothing
starts. recordflags.py reads them; the reconciler checks specs against them."""

from __future__ import annotations

import asyncio
import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..common.log import log

if TYPE_CHECKING:
    from .world import World

RECORD_FLAGS = pathlib.Path(__file__).parent.with_name("recordflags.py")
# What a program's table rests on, by the names of inventory.versions.
PROGRAMS = {
    "mocker": ("dynamo",), "frontend": ("dynamo",), "vllm": ("dynamo", "vllm"), "sglang": ("dynamo", "sglang"),
    "trtllm": ("dynamo", "tensorrt_llm"),
}
# Nothing has started for so long before one is read; one that failed is read again later.
SETTLED, AGAIN = 15.0, 3600.0

Key = tuple[str, ...]


def key_of(program: str, versions: dict[str, str]) -> Key | None:
    """What a program's table rests on; None where the node has not all of it."""
    parts = [versions.get(name, "") for name in PROGRAMS[program]]
    return (program, versions.get("python", ""), *parts) if all(parts) else None


class Parsers:
    """Reads one table at a time, and knows what each node has."""

    def __init__(self, world: World, quiet: Callable[[], bool], changed: Callable[[], None]) -> None:
        self._world, self._quiet, self._changed = world, quiet, changed
        self._source = RECORD_FLAGS.read_text("utf-8")
        self._versions: dict[str, dict[str, str]] = {}  # by node
        self._first: dict[Key, str] = {}  # the node that a table is read on and stored with
        self._tables: dict[Key, dict[str, str]] = {}
        self._again: dict[Key, float] = {}  # of those that failed
        self._busy: asyncio.Future[None] | None = None
        self._settled = time.monotonic()  # since then nothing has started

    def note(self, node: str, versions: dict[str, str] | None) -> bool:
        """The versions of a node; None: it is gone. Reports whether a table is told of another
        node than before."""
        if self._versions.get(node) == versions:
            return False
        self._versions.pop(node, None)
        if versions is not None:
            self._versions[node] = versions
        before, self._first = self._first, {}
        for name in sorted(self._versions):
            for program in PROGRAMS:
                key = key_of(program, self._versions[name])
                if key is not None:
                    self._first.setdefault(key, name)
        return self._first != before

    def look(self) -> None:
        """Read the next table that is wanted, unless something starts."""
        now = time.monotonic()
        if not self._quiet():
            self._settled = now
        if self._busy is not None or now - self._settled < SETTLED:
            return
        for key, node in self._first.items():
            if key not in self._tables or now > self._again.get(key, now):
                self._busy = self._world.spawn(self._read(node, key))
                return

    async def _read(self, node: str, key: Key) -> None:
        try:
            found = await self._world.ray.read_flags(node, self._source, key[0])
        except Exception as err:
            found = {"error": repr(err)[:300]}
        finally:
            self._busy = None
        self._again.pop(key, None)
        if "error" in found:
            self._again[key] = time.monotonic() + AGAIN
            log("warn", "the command line of a program is not known", program=key[0], node=node, error=found["error"])
        self._tables[key] = found
        self._changed()

    def of(self, node: str) -> dict[str, dict[str, str]]:
        """What is told of a node, by program. Of nodes with the same versions the first
        has the table, the others its digest."""
        out: dict[str, dict[str, str]] = {}
        for program in PROGRAMS:
            key = key_of(program, self._versions.get(node, {}))
            if key is not None and key in self._tables:
                table = self._tables[key]
                out[program] = (
                    table if node == self._first.get(key) else {k: v for k, v in table.items() if k != "table"}
                )
        return out
