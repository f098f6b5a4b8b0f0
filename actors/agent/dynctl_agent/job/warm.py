"""Worker processes of Ray's that are there before the actors that run in them.

Some are started ahead of a replica that waits for another (`ahead`), and where a server says
so some are kept on each node (`Pool`). Nothing depends on them: without one an actor only
starts later.
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Iterable
from typing import Any

from ..common.log import log
from . import values
from .charge import Charge
from .live import LiveUnit
from .observed import Warm
from .raylet import Worker
from .world import World

SUBJECT = "dynctl.agent.warm"
# How long Ray keeps one for a unit that is to follow (seconds): longer than a worker takes
# to start that takes so little that a second more would be noticed.
AHEAD = 60.0
# How long it keeps one of the pool. They are ended when nobody wants them any more; where
# that fails Ray ends them then.
KEEP = 3600.0
# How often a node is looked at, in seconds: they only ever get fewer by themselves when one
# dies, or when Ray ends it. What a start uses is looked for at once.
EVERY = 20.0
# A process that was asked for comes within so long (seconds), or is asked for again.
COMING = 20.0
# Pause before another look where some are to come (the first one), or something starts that
# holds up the end of others.
SOON = 2.0
AT_ONCE = 4
MOST = 1024  # processes of a node
# What is raised where a node is gone, or a version of Ray has no such calls.
NOTHING_THERE = (LookupError, ImportError, AttributeError)


async def ahead(live: LiveUnit) -> None:
    """Have the processes started for a unit that follows this one and is made alike, where
    this one is: most often the same node. A node with a pool has them."""
    actors = [a for a in live.unit.actors.values() if a.node and not a.template.get("runtimeEnv")]
    for node, count in collections.Counter(a.node for a in actors).items():
        if live.world.warm.get(node, 0) >= count:
            continue
        try:
            await live.world.ray.prestart(node, count, AHEAD)
        except Exception as err:  # a version of Ray may have no such call, a node may be gone
            log("info", "no worker process is started ahead", node=node, error=_said(err))


def _said(err: Any) -> str:
    """An error of Ray's in a line; gRPC's is a page."""
    text = f"{err.code().name}: {err.details()}" if hasattr(err, "details") else repr(err)
    return " ".join(text.split())[:300]


class _Node:
    """The pool of one node."""

    def __init__(self) -> None:
        self.wanted = 0
        self.surplus = 0  # how many more were wanted before, which are to be ended, also if they are still to come
        self.ready = 0  # at the last look
        self.due = 0.0  # when to look again (monotonic)
        self.pause = SOON  # before another look for those that are to come
        self.trouble = ""
        self.asked = 0  # processes, at the last time that any were asked for
        self.asked_at = -COMING
        self.known: set[int] = set()  # pids of all that were there then
        self.came: set[int] = set()  # and of those that were seen since, whatever became of them

    def coming(self) -> int:
        """How many of those that were asked for are still to come."""
        if time.monotonic() - self.asked_at > COMING:
            return 0
        return max(0, self.asked - len(self.came))


class Pool:
    """Keeps as many idle worker processes on each node as the reconciler has ordered last."""

    def __init__(self, world: World, charge: Charge) -> None:
        self._world, self._charge = world, charge
        self._nodes: dict[str, _Node] = {}
        self._version = ""
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def value(self) -> Warm:
        """state.AgentWarm."""
        nodes = [n for n in self._nodes.values() if n.wanted]
        out: Warm = {
            "version": self._version, "wanted": sum(n.wanted for n in nodes),
            "ready": sum(min(n.ready, n.wanted) for n in nodes),
        }
        trouble = next((n.trouble for n in nodes if n.trouble), "")
        if trouble:
            out["trouble"] = trouble
        return out

    # Orders.

    async def serve(self) -> None:
        """Take orders from now on, for as long as the connection is there."""
        await self._world.answer(SUBJECT, self._reply)

    async def _reply(self, data: bytes) -> dict[str, str]:
        refused = ""
        try:
            self._take(values.decode(data))
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            refused = str(err)[:300] or repr(err)
        return {"version": self._version, "refused": refused}

    def _take(self, order: dict[str, Any]) -> None:
        """Keep to an order (state.WarmOrder) from now on. Raises ValueError for one that is
        somebody else's, and whatever else tells that it is none."""
        charge = self._charge
        nodes, epoch, version = order["nodes"], order["epoch"], order["version"]
        if order["storeId"] != self._world.config.store_id or order["incarnation"] != self._world.incarnation:
            raise ValueError("it is for another agent")
        if not values.counter(epoch, charge.epoch) or epoch < charge.epoch:
            raise ValueError(f"it is of epoch {str(epoch)[:20]}, and there is {charge.epoch}")
        if not isinstance(version, str) or not all(values.whole(v, MOST) for v in nodes.values()):
            raise ValueError("it is no set of processes by node")
        charge.saw_epoch(epoch)
        if version != self._version:
            log("info", "worker processes to keep ready", processes=sum(nodes.values()), nodes=len(nodes))
            self._want(nodes)
            self._version = version
            charge.kick()

    def _want(self, wanted: dict[str, int]) -> None:
        for name in {*self._nodes, *wanted}:
            node, count = self._nodes.setdefault(name, _Node()), wanted.get(name, 0)
            node.surplus = max(0, node.surplus + node.wanted - count)
            node.wanted, node.due = count, 0.0
        self._world.warm = wanted
        self._changed.set()

    def used(self, nodes: Iterable[str]) -> None:
        """Actors were made on these nodes."""
        for name in nodes:
            if name in self._nodes:
                self._nodes[name].due = 0.0
                self._changed.set()

    # The work.

    async def run(self) -> None:
        """Look for ever; where nothing is kept nothing is looked at."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            await asyncio.gather(*(self._look(name, n) for name, n in self._nodes.items() if n.due <= now))
            self._nodes = {name: n for name, n in self._nodes.items() if n.wanted or n.surplus}
            due = min((n.due for n in self._nodes.values()), default=None)
            wait = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait([wait], timeout=None if due is None else max(0.0, due - time.monotonic()))
            wait.cancel()

    async def _look(self, name: str, node: _Node) -> None:
        before = node.ready, node.trouble
        node.due = time.monotonic() + EVERY
        try:
            async with self._slots:
                await self._fit(name, node)
            node.trouble = ""
        except Exception as err:  # a version of Ray may have no such call, a node may be gone
            node.trouble = _said(err)
            if isinstance(err, NOTHING_THERE):
                node.surplus = 0
            if node.trouble != before[1]:
                log("warn", "a node's worker processes are not kept ready", node=name, error=node.trouble)
        if (node.ready, node.trouble) != before:
            self._charge.kick()

    async def _fit(self, name: str, node: _Node) -> None:
        """Have what is missing started, or what is too much ended."""
        ray = self._world.ray
        found = await ray.workers(name)
        fresh = [w for w in found if w.fresh]
        node.ready = len(fresh)
        node.came |= {w.pid for w in found} - node.known
        if node.surplus and len(fresh) > node.wanted:
            await self._release(name, node, fresh)
            return
        coming = node.coming()
        node.surplus = min(node.surplus, coming)
        missing = node.wanted - len(fresh) - coming
        if missing > 0:
            await ray.prestart(name, missing, KEEP)
            node.asked, node.asked_at = missing + coming, time.monotonic()
            node.known, node.came = {w.pid for w in found}, set()
        if len(fresh) >= node.wanted and not node.surplus:
            node.pause = SOON
        else:
            node.due, node.pause = time.monotonic() + node.pause, min(2 * node.pause, EVERY)

    async def _release(self, name: str, node: _Node, fresh: list[Worker]) -> None:
        """End those that nobody wants any more. None while something starts: it may be given
        one in that moment."""
        if any(u.starting() for u in self._world.units.values()):
            node.due = time.monotonic() + SOON
            return
        for worker in fresh[: min(node.surplus, len(fresh) - node.wanted)]:
            if not node.surplus:
                break  # more are wanted by now
            await self._world.ray.end(worker)
            node.surplus = max(0, node.surplus - 1)
        if node.surplus:
            node.due = time.monotonic() + SOON  # those that were ended are gone then
        elif node.wanted:
            node.due = 0.0
