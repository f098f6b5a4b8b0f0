"""One unit as it lives in Ray: its actors are called and watched, its group is followed,
and what is true of it is reported. What is done to it is in `runner`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..common.log import timestamp
from ..common.messages import Answer, Described, Exit, Origin, Snapshot
from ..common.template import Group
from .observe import Writer
from .observed import ObservedUnit
from .ray_api import ActorUnavailableError, RayActorError, ask
from .units import INFRA_AWAY, ActorView, UnitView, was_away
from .world import World


def _execution(actor: ActorView, attempt: int, begun: float) -> str:
    """What names an execution, whoever tells of it: of an agent that ended before it could
    report what it told, the next one tells it again."""
    return f"{actor.name}-{attempt}-{timestamp(begun)}"


def _same_conflict(end: Exit, before: Exit | None) -> bool:
    """Whether an attempt found the port that it needs held as the one before did: that is
    tried for as long as it takes, and told once."""
    if before is None or {end["reason"], before["reason"]} != {"PortConflict"}:
        return False
    return end.get("cause") == before.get("cause")


class LiveUnit:
    """A unit with its writer and its watches."""

    def __init__(self, world: World, unit: UnitView, on_gone: Callable[[UnitView], None]) -> None:
        self.world, self.unit = world, unit
        self.gone = False
        self.writer = self._new_writer()
        self._on_gone = on_gone
        self.creating = asyncio.Lock()
        """Held while an actor is looked for and created: first come, first served."""
        self._making: set[asyncio.Task[Any]] = set()

    def _new_writer(self) -> Writer:
        key = f"unit.{self.unit.server}.{self.unit.unit}"
        return Writer(self.world.bus, key, self._render, self.world.in_charge)

    def _render(self) -> ObservedUnit | None:
        return None if self.gone else self.unit.value(self.world.incarnation)

    def changed(self) -> None:
        """Report, and wake those who wait for something."""
        self.writer.mark()
        self.world.changed.fire()

    async def make(self, work: Awaitable[Any]) -> Any:
        """Make something in Ray. Its thread goes on when this is cancelled, so whoever
        comes next settles it first."""
        task = self.world.spawn(work)
        self._making.add(task)
        task.add_done_callback(self._making.discard)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Until nothing is being made any more."""
        if self._making:
            await asyncio.wait(list(self._making))

    # Actors.

    async def call(
        self, actor: ActorView, method: str, *args: Any,
        timeout: float | None = None, command: Origin | None = None,
    ) -> Answer:
        """Call a method of an actor until it answers. Raises RayActorError when the
        actor is dead, asyncio.TimeoutError. command: what asks for it."""
        caller = self.world.caller()
        if command:
            caller["command"] = command
        while True:
            if actor.handle is None:
                raise RayActorError(error_msg=f"{actor.name} is dead")
            try:
                ref = getattr(actor.handle, method).remote(caller, *args)
                answer: Answer = await ask(ref, timeout)
            except ActorUnavailableError:
                await asyncio.sleep(0.1)
                continue
            if "stale" in answer:
                self.world.stale(answer["stale"])
            if "version" in answer:
                self.absorb(actor, answer)
            return answer

    def watch(self, actor: ActorView) -> None:
        """Follow an actor until its death."""
        actor.watch = self.world.spawn(self._watch(actor, actor.handle))

    async def _watch(self, actor: ActorView, handle: Any) -> None:
        seen = actor.snap["version"]
        while actor.handle is handle:
            try:
                snap = await ask(handle.wait.remote(self.world.caller(), seen))
            except ActorUnavailableError:
                await asyncio.sleep(0.1)
                continue
            except RayActorError as err:
                self.died(actor, handle, str(err))
                return
            if "stale" in snap:
                self.world.stale(snap["stale"])
                return
            seen = snap["version"]
            self.absorb(actor, snap)

    def absorb(self, actor: ActorView, snap: Snapshot) -> None:
        """Take over what an actor said, and tell what is new in it."""
        self._tell_start(actor, snap)
        if actor.absorb(snap):
            self._tell_unseen(actor)
            self.changed()

    def adopt(self, actor: ActorView, handle: Any, described: Described) -> None:
        """Take over a living actor: follow it, and tell what nobody has of what it did."""
        actor.adopt(handle, described)
        self.watch(actor)
        self._tell_unseen(actor)

    def tell_unseen(self) -> None:
        """Tell what no agent saw: a start that only its actor knows of, and an exit. To be
        called once all is known that these may have needed."""
        for actor in self.unit.actors.values():
            if actor.live and not self.unit.foreign:
                self._tell_start(actor, actor.snap)
            self._tell_unseen(actor)

    def _tell_unseen(self, actor: ActorView) -> None:
        end = actor.unseen
        if end is None or self.unit.foreign:
            return
        self._judge_exit(actor, end)
        asked = actor.stopping or (actor.died and (self.unit.stopping or self.unit.removing))
        if not (asked or _same_conflict(end, actor.snap.get("lastExit"))):
            self._tell_exit(actor, end)

    def died(self, actor: ActorView, handle: Any, message: str) -> None:
        """The actor is dead; whatever noticed it calls this."""
        if actor.handle is not handle:
            return
        actor.die(message, time.time())
        self._tell_unseen(actor)
        self.changed()
        self.world.spawn(self.refresh_group())

    def _judge_exit(self, actor: ActorView, end: Exit) -> None:
        since = max(end["at"] - INFRA_AWAY, actor.snap["startedAt"])
        needed = [self.world.find(self.unit.server, n) for n in actor.template.get("needs") or []]
        end["infraAway"] = any(was_away(a, since, end["at"]) for a in needed)

    def _tell_start(self, actor: ActorView, snap: Snapshot) -> None:
        """Tell of an execution, whoever hears of it first: the start that asked for it may
        have given way to another one before it had the answer."""
        if snap["childPid"] and actor.executed(snap):
            message = f"{actor.name}: attempt {snap['attempt']}, pid {snap['childPid']} on {actor.ip}"
            once = _execution(actor, snap["attempt"], snap["startedAt"])
            self.world.facts.tell("unit-started", self.unit.fact("Executed", message), once=once)

    def _tell_exit(self, actor: ActorView, end: Exit) -> None:
        message = f"{actor.name}: attempt {end['attempt']} ended with code {end['code']}"
        message += "".join(f"{sep}{text}" for sep, text in ((": ", end.get("cause")), ("; ", end.get("hint"))) if text)
        data, detail = self.unit.fact(end["reason"], message), {"actor": actor.name, **end}
        once = _execution(actor, end["attempt"], actor.snap["startedAt"] or end["at"])
        self.world.facts.tell("unit-exited", data, detail, once)

    async def refresh_group(self) -> None:
        """Ask Ray again for the group's state."""
        if self.unit.group_handle is None or self.gone:
            return
        row = await self.world.ray.group_row(self.unit.group_handle)
        self.take_group_row(row)

    def take_group_row(self, row: dict[str, Any]) -> None:
        """Take over Ray's row about the group."""
        state = row.get("state", "REMOVED") if row else "REMOVED"
        self.unit.bundle_nodes = {str(k): v for k, v in (row.get("bundles_to_node_id") or {}).items() if v}
        bundles = range(len(self.unit.group.get("bundles") or []))
        where = self.unit.bundle_nodes
        nodes = [where[str(i)] for i in bundles if str(i) in where]
        group: Group = {**self.unit.group, "state": state, "nodes": nodes if len(nodes) == len(bundles) else []}
        if self.unit.group != group:
            self.unit.group = group
            self.changed()

    def move(self, unit_id: str) -> None:
        """Report the unit under another id from now on."""
        self.writer.close()
        self.unit.unit = unit_id
        self.writer = self._new_writer()
        self.changed()

    async def forget(self) -> None:
        """The unit is gone: delete its key, then make room for one of its name."""
        self.gone = True
        self.changed()
        await self.writer.flush()
        self._on_gone(self.unit)
