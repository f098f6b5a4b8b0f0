"""Puts right what others write into the bucket: it is the agent's alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..common.deadline import in_time
from ..common.log import log
from .charge import KEY, Charge, Superseded

if TYPE_CHECKING:
    from .nodes import Nodes
    from .roster import Roster
    from .world import World

# What was not heard of, because NATS was away, is found by looking at all now and then.
LOOK_EVERY = 30.0
# A write is heard of before it is stored, so it is looked at twice.
AGAIN_AFTER = 0.5


class Minder:
    """Looks at every key that somebody else has touched: it is written again if it is
    one that the agent reports under, and deleted if it is nobody's."""

    def __init__(self, world: World, roster: Roster, charge: Charge, nodes: Nodes) -> None:
        self._bus, self._roster, self._charge, self._nodes = world.bus, roster, charge, nodes
        self._recent: set[str] = set()

    async def run(self) -> None:
        """For ever. Raises Superseded."""
        while True:
            keys = await self._touched()
            try:
                await self._charge.check()
                for key in await self._doubtful() if keys is None else keys:
                    await self._put_right(key)
            except Superseded:
                raise
            except Exception as err:  # NATS is away, or somebody writes faster
                log("warn", "the bucket is not put right yet", error=repr(err)[:300])
                await asyncio.sleep(0.2)
                self._bus.touched.update(keys or ())
                self._bus.touch.set()

    async def _touched(self) -> list[str] | None:
        """The keys to look at; None: all."""
        try:
            await in_time(self._bus.touch.wait(), AGAIN_AFTER if self._recent else LOOK_EVERY)
            keys = sorted(self._bus.touched)
            self._recent.update(keys)
        except asyncio.TimeoutError:
            keys = sorted(self._recent)
            self._recent.clear()
            return keys or None
        self._bus.touch.clear()
        self._bus.touched.clear()
        return keys

    async def _doubtful(self) -> list[str]:
        """The keys that are not as they were written last: what they hold is read of these
        alone, as a look at every value of a fleet at rest costs the agent more than all else."""
        there = await self._bus.keys()
        ours = {r.live.writer.key: r.live.writer.revision for r in self._roster.all()} | self._nodes.revisions()
        return sorted(k for k in {*there, *ours} if there.get(k) != ours.get(k) and k != KEY)

    async def _put_right(self, key: str) -> None:
        kind, _, rest = key.partition(".")
        server, _, unit = rest.partition(".")
        runner = self._roster.get(server, unit) if kind == "unit" else None
        if runner is not None:
            await runner.live.writer.check()
        elif key == KEY or (kind == "node" and await self._nodes.put_right(rest)):
            return
        else:
            value, revision = await self._bus.read(key)
            if value is not None:
                log("warn", "a key that is nobody's is deleted", key=key, revision=revision)
                await self._bus.delete(key, revision)
