"""What all units share: Ray, NATS, each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..common.log import log
from ..common.template import promised, span
from .bus import Bus
from .config import Config
from .events import Facts
from .ray_api import Ray
from .units import DEAD, ActorView

if TYPE_CHECKING:
    from .commands import Command
    from .runner import Runner


class Signal:
    """Something has changed: wakes all who wait."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is asked after each change."""
        while not condition():
            await self._event.wait()


class World:
    """Shared by the runners of all units."""

    def __init__(self, config: Config, ray: Ray, bus: Bus) -> None:
        self.config, self.ray, self.bus = config, ray, bus
        self.facts = Facts(bus)
        self.units: dict[tuple[str, str], Runner] = {}
        self.changed = Signal()
        self.node_ips: dict[str, str] = {}
        self.incarnation = 0
        self.in_charge: Callable[[], Awaitable[None]]  # raises or ends the agent if it is not
        self.stale: Callable[[int], None]  # an actor has seen that higher incarnation
        self.accept: Callable[[Command], Any]  # a start for a unit that is gone by now
        self._node_locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def caller(self) -> dict[str, Any]:
        """Who calls, for actors."""
        return {"storeId": self.config.store_id, "incarnation": self.incarnation}

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """A task that is not forgotten before it ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log("error", "a task failed", error=repr(task.exception()))

    def host(self, node: str) -> str:
        """What nodes of one machine have in common: several may share its ports."""
        return self.node_ips.get(node, node)

    def node_lock(self, node: str) -> asyncio.Lock:
        """Held while ports are found on a machine, so that no two processes get one."""
        return self._node_locks.setdefault(self.host(node), asyncio.Lock())

    def taken_ports(self, node: str, but: ActorView) -> list[int]:
        """The ports that all other actors on a node's machine hold or were promised. One
        that is promised to this one too goes to whoever holds it first."""
        taken: set[int] = set()
        own = set(promised(but.template.get("ports") or [], {}))
        for runner in self.units.values():
            for actor in runner.unit.actors.values():
                if actor is but or self.host(where(runner, actor)) != self.host(node):
                    continue
                rules, found = actor.template.get("ports") or [], actor.snap["ports"]
                if not runner.unit.stopping:
                    taken.update(set(promised(actor.next_ports or rules, found)) - own)
                if actor.phase != DEAD:
                    taken.update(span(rules, found))
        return sorted(taken)

    def find(self, server: str, need: str) -> ActorView | None:
        """The actor of ours that "unit/label" names."""
        unit, _, label = need.partition("/")
        runner = self.units.get((server, unit))
        if runner is None or runner.unit.foreign:
            return None
        for actor in runner.unit.actors.values():
            if actor.template.get("label") == label:
                return actor
        return None

    def resolve(self, server: str, placeholder: str) -> str | None:
        """The value of {ip:UNIT/BUNDLE} or {port:UNIT/NAME}; None until it is known."""
        kind, _, rest = placeholder[1:-1].partition(":")
        unit_id, _, what = rest.partition("/")
        runner = self.units.get((server, unit_id))
        if runner is None or runner.unit.foreign:
            return None
        for actor in runner.unit.actors.values():
            # Ports of an attempt that is to be replaced may be others soon.
            settled = actor.live and actor.aimed <= max(actor.snap["attempt"], actor.ported)
            if kind == "port" and settled and what in actor.snap["ports"]:
                return str(actor.snap["ports"][what])
            if kind == "ip" and actor.live and str(actor.template.get("bundle", 0)) == what:
                return actor.ip
        if kind == "ip":
            return self.node_ips.get(runner.bundle_nodes.get(what, ""))
        return None


def where(runner: Runner, actor: ActorView) -> str:
    """The node on which an actor runs or is going to, as far as that is known."""
    if actor.live:
        return actor.node
    unit = runner.unit
    node = runner.bundle_nodes.get(str(actor.template.get("bundle", 0))) or actor.node
    if not node and unit.group.get("strategy") == "STRICT_PACK":
        node = next((a.node for a in unit.actors.values() if a.live), "")
    return node
