"""Asks each node what Ray does not tell of it (actor/inventory.py), while nothing starts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from ..common.deadline import in_time
from ..common.log import log
from ..common.messages import Inventory
from .observed import Told
from .parsers import Parsers

if TYPE_CHECKING:
    from .nodes import Nodes
    from .world import World

# How often nodes are looked at for something to ask, in seconds.
LOOK = 1.0
# Versions change when somebody installs something; cards while strangers come and go.
EVERY, EVERY_WITH_CARDS = 300.0, 15.0
TIMEOUT = 60.0
AT_ONCE = 4
# A node waits this long at most for a moment in which nothing starts.
PATIENCE = 60.0


class Survey:
    """Keeps what the nodes say of themselves current."""

    def __init__(self, world: World, nodes: Nodes) -> None:
        self._world, self._nodes = world, nodes
        self._due: dict[str, float] = {}  # by node: from then on
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._cards: set[str] = set()  # nodes that have any
        self._ours: set[int] = set()  # process groups of our workers, dead ones included
        self._found: dict[str, Inventory] = {}
        self.parsers = Parsers(world, self._quiet, self._tell_all)

    async def begin(self, own: str) -> None:
        """Look at the agent's own node, without a task: before anything is started."""
        self._take(own, await self._world.ray.look_here(self._world.config.cache_dir))

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            self._remember()
            alive = self._nodes.alive()
            for node in [n for n in self._due if n not in alive]:
                del self._due[node]
                self._found.pop(node, None)
                if self.parsers.note(node, None):
                    self._tell_all()
            self.parsers.look()
            for node in alive:
                late = now - self._due.setdefault(node, now)
                if late < 0 or node in self._asking or len(self._asking) >= AT_ONCE:
                    continue
                # Who holds a card matters most while something starts on it.
                if not (node in self._cards or self._quiet() or late > PATIENCE):
                    continue
                self._asking[node] = self._world.spawn(self._ask(node))

    def _remember(self) -> None:
        """Note whose process groups are ours: what was seen of one may be told after its end."""
        for unit in self._world.units.values():
            for actor in unit.actors.values():
                if actor.snap["childPid"]:
                    self._ours.add(actor.snap["childPid"])

    def _quiet(self) -> bool:
        """Whether no unit is on its way: a task's worker process would take time from it."""
        return not any(unit.starting() for unit in self._world.units.values())

    async def _ask(self, node: str) -> None:
        self._due[node] = time.monotonic() + EVERY
        try:
            found = await in_time(self._world.ray.look(node, self._world.config.cache_dir), TIMEOUT)
            self._take(node, found)
        except Exception as err:
            log("warn", "a node does not tell its versions and cards", node=node, error=repr(err)[:300])
        finally:
            self._asking.pop(node, None)

    def _take(self, node: str, found: Inventory) -> None:
        self._due[node] = time.monotonic() + (EVERY_WITH_CARDS if found["cards"] else EVERY)
        if found["cards"]:
            self._cards.add(node)
        self._remember()
        for one in found["cards"]:
            for process in one.get("processes", ()):
                process["ours"] = process["group"] in self._ours
        self._found[node] = found
        if self.parsers.note(node, found["versions"]):
            self._tell_all()
        else:
            self._tell(node)

    def _tell_all(self) -> None:
        for node in self._found:
            self._tell(node)

    def _tell(self, node: str) -> None:
        found = {**self._found[node], "parsers": self.parsers.of(node)}
        self._nodes.tell(node, cast(Told, {k: v for k, v in found.items() if v}))
