"""What all units share: Ray, NATS, each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..common.log import log
from ..common.messages import Access, Caller
from ..common.template import promised, span
from .bus import Bus
from .config import Config
from .events import Facts
from .ray_api import Ray
from .units import DEAD, ActorView, UnitView


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
    """Shared by all units."""

    def __init__(self, config: Config, ray: Ray, bus: Bus) -> None:
        self.config, self.ray, self.bus = config, ray, bus
        self.facts = Facts(bus)
        self.units: dict[tuple[str, str], UnitView] = {}  # kept by the roster
        self.changed = Signal()
        self.node_ips: dict[str, str] = {}
        self.access: dict[str, Access] = {}  # the credentials of services, by id
        self.warm: dict[str, int] = {}  # worker processes that are kept, by node
        self.used: Callable[[Iterable[str]], None] = lambda nodes: None  # actors were made on nodes
        self.made: dict[str, float] = {}  # when an actor came up last, by node (monotonic)
        self.incarnation = 0
        self.in_charge: Callable[[], Awaitable[None]]  # raises or ends the agent if it is not
        self.carried: Callable[[], Awaitable[None]]  # waits for etcd and nats-server that travel
        self.stale: Callable[[int], None]  # an actor has seen that higher incarnation
        self._node_locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def caller(self) -> Caller:
        """Who calls, for actors."""
        return {"storeId": self.config.store_id, "incarnation": self.incarnation}

    def misses_programs(self) -> bool:
        """Whether etcd or NATS could not be executed somewhere."""
        infra = [u for u in self.units.values() if u.unit == "infra" and u.store_id == self.config.store_id]
        ends = [a.snap["exit"] for u in infra for a in u.actors.values()]
        return any(end is not None and end["reason"] == "ExecFailed" for end in ends)

    async def answer(self, subject: str, reply: Callable[[bytes], Awaitable[Any]]) -> None:
        """Answer what is asked on a subject from now on, for as long as the connection is
        there. No request waits for the one before: an actor may not answer."""

        async def respond(message: Any) -> None:
            await message.respond(json.dumps(await reply(message.data)).encode())

        async def on_request(message: Any) -> None:
            self.spawn(respond(message))

        await self.bus.listen(subject, on_request)

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
        """To be taken while ports are found on a machine, so that no two processes get one."""
        return self._node_locks.setdefault(self.host(node), asyncio.Lock())

    def taken_ports(self, node: str, but: ActorView) -> list[int]:
        """The ports that all other actors on a node's machine have or were promised. One
        that is promised to this one too goes to whoever has it first."""
        taken: set[int] = set()
        own = set(promised(but.template.get("ports") or [], {}))
        for unit in self.units.values():
            for actor in unit.actors.values():
                if actor is but or self.host(unit.where(actor)) != self.host(node):
                    continue
                rules, found = actor.template.get("ports") or [], actor.snap["ports"]
                if not unit.stopping:
                    taken.update(set(promised(actor.next_ports or rules, found)) - own)
                if actor.phase != DEAD:
                    taken.update(span(rules, found))
        return sorted(taken)

    def find(self, server: str, need: str) -> ActorView | None:
        """The actor of ours that "unit/label" names."""
        unit_id, _, label = need.partition("/")
        unit = self._ours(server, unit_id)
        if unit is None:
            return None
        return next((a for a in unit.actors.values() if a.template.get("label") == label), None)

    def resolve(self, server: str, placeholder: str) -> str | None:
        """The value of {ip:UNIT/BUNDLE} or {port:UNIT/NAME}; None until it is known."""
        kind, _, rest = placeholder[1:-1].partition(":")
        unit_id, _, what = rest.partition("/")
        unit = self._ours(server, unit_id)
        if unit is None:
            return None
        for actor in unit.actors.values():
            # Ports of an attempt that is to be replaced may be others soon.
            settled = actor.live and actor.aimed <= max(actor.snap["attempt"], actor.ported)
            if kind == "port" and settled and what in actor.snap["ports"]:
                return str(actor.snap["ports"][what])
            if kind == "ip" and actor.live and str(actor.template.get("bundle", 0)) == what:
                return actor.ip
        return self.node_ips.get(unit.bundle_nodes.get(what, "")) if kind == "ip" else None

    def _ours(self, server: str, unit_id: str) -> UnitView | None:
        unit = self.units.get((server, unit_id))
        return None if unit is None or unit.foreign else unit
