"""What is slow the first time that a process asks Ray for it, done by an agent that stands
by: the imports behind the first call, the classes of the actors that are there. Nothing is
changed by it and nothing kept: whoever takes over reads the truth then."""

from __future__ import annotations

import asyncio

from ..common.log import log
from .rebuild import NAME
from .world import World

# Units come in bursts, and while they do the machine has better things to do.
PAUSE = 5.0


class Rehearsal:
    """Reads from Ray what a successor reads, whenever units have changed."""

    def __init__(self, world: World) -> None:
        self._bus, self._ray = world.bus, world.ray
        self._known: set[str] = set()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.once()
                heard = True
            except Exception as err:  # the next one may succeed; who takes over needs none
                log("warn", "no rehearsal of a takeover", error=repr(err)[:300])
                heard = False
            await asyncio.sleep(PAUSE)
            while heard and not self._changed():
                await self._bus.touch.wait()
                self._bus.touch.clear()

    def _changed(self) -> bool:
        """Whether units were written since it was asked last. Heartbeats are no reason."""
        found = any(key.startswith("unit.") for key in self._bus.touched)
        self._bus.touched.clear()
        return found

    async def once(self) -> None:
        """One at a time: it is in nobody's way. A class that is loaded stays so."""
        await self._ray.warm_up()
        await self._ray.groups()
        await self._ray.nodes()
        await self._ray.free()
        await self._ray.autoscaling()
        names = [n for n in await self._ray.actor_names() if NAME.match(n)]
        for name in names:
            if name not in self._known:
                await self._ray.find_actor(name)
        self._known = set(names)
