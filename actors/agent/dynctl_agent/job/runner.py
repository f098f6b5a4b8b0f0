"""Carries out the commands for one unit, one after another.

A newer start replaces one under way (every step of a start may be repeated); a stop
interrupts a start; nothing interrupts a stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from .commands import START, Command
from .observe import Writer
from .ray_api import ActorUnavailableError, RayActorError, ask
from .starting import give_up, start
from .stopping import stop
from .units import INFRA_AWAY, ActorView, UnitView, was_away
from .world import World


class Runner:
    """One unit with its writer, its watches and its worker task."""

    def __init__(self, world: World, unit: UnitView) -> None:
        self.world, self.unit = world, unit
        self.bundle_nodes: dict[str, str] = {}  # node id by bundle
        self.gone = False
        self.writer = self._new_writer()
        self._pending: list[Command] = []
        self._arrived = asyncio.Event()
        self._making: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None

    def _new_writer(self) -> Writer:
        key = f"unit.{self.unit.server}.{self.unit.unit}"
        return Writer(self.world.bus, key, self._render, self.world.in_charge)

    def _render(self) -> dict[str, Any] | None:
        return None if self.gone else self.unit.value(self.world.incarnation)

    def changed(self) -> None:
        """Report, and wake those who wait for something."""
        self.writer.mark()
        self.world.changed.fire()

    # Commands.

    def submit(self, command: Command) -> None:
        """Carry out a command after, or instead of, what is under way."""
        if command.verb == START:
            self.world.spawn(self.writer.check())  # whoever asks may not see what there is
            if self._pending and self._pending[-1].verb == START:
                merge(command, self._pending.pop())
        else:
            self._pending = [c for c in self._pending if c.verb != START]
            if self.unit.stopping:
                return  # there is one way to stop, and it may have to wait for the end of a start
            self.unit.stopping = True
        self._pending.append(command)
        self._arrived.set()
        if self._task is None or self._task.done():
            self._task = self.world.spawn(self._work())

    async def _work(self) -> None:
        while self._pending and not self.gone:
            command = self._pending.pop(0)
            self._arrived.clear()
            await self._carry_out(command)
        if self._pending:
            self.world.accept(self._pending.pop())

    @property
    def busy(self) -> bool:
        """True while a command is carried out, or waits."""
        return self._task is not None and not self._task.done()

    def expire(self, message: str) -> None:
        """Its placement has not come: remove it, unless a command does something else."""
        if not self.busy:
            self._task = self.world.spawn(self._expire(message))

    async def _expire(self, message: str) -> None:
        await give_up(self, "PlacementTimeout", message)
        await self._work()

    async def _carry_out(self, command: Command) -> None:
        self.unit.told(command.origin)
        if command.verb != START:
            await stop(self, command)
            return
        work = asyncio.ensure_future(start(self, command))
        arrived = asyncio.ensure_future(self._arrived.wait())
        await asyncio.wait([work, arrived], return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        if not work.done():
            work.cancel()
            if self._pending and self._pending[0].verb == START:
                merge(self._pending[0], command)
        await asyncio.gather(work, return_exceptions=True)

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
        timeout: float | None = None, command: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Call a method of an actor until it answers. Raises RayActorError when the
        actor is dead, asyncio.TimeoutError. command: what asks for it."""
        caller = {**self.world.caller(), "command": command} if command else self.world.caller()
        while True:
            if actor.handle is None:
                raise RayActorError(error_msg=f"{actor.name} is dead")
            try:
                ref = getattr(actor.handle, method).remote(caller, *args)
                answer: dict[str, Any] = await ask(ref, timeout)
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

    def absorb(self, actor: ActorView, snap: dict[str, Any]) -> None:
        """Take over what an actor said, and tell what is new in it."""
        before = actor.snap
        if not actor.absorb(snap):
            return
        end, old = actor.snap["exit"], before["exit"]
        if end is not None and old is not None and old["at"] == end["at"]:
            actor.snap["exit"] = old  # judged already
        elif end is not None:
            self._judge_exit(actor, end)
            if not actor.stopping:
                self._tell_exit(actor, end)
        self.changed()

    def died(self, actor: ActorView, handle: Any, message: str) -> None:
        """The actor is dead; whatever noticed it says so here."""
        if actor.handle is not handle:
            return
        actor.die(message, time.time())
        if not (self.unit.stopping or self.unit.removing):
            self._judge_exit(actor, actor.snap["exit"])
            self._tell_exit(actor, actor.snap["exit"])
        self.changed()
        self.world.spawn(self.refresh_group())

    def _judge_exit(self, actor: ActorView, end: dict[str, Any]) -> None:
        since = max(end["at"] - INFRA_AWAY, actor.snap["startedAt"])
        needed = [self.world.find(self.unit.server, n) for n in actor.template.get("needs") or []]
        end["infraAway"] = any(was_away(a, since) for a in needed)

    def _tell_exit(self, actor: ActorView, end: dict[str, Any]) -> None:
        message = f"{actor.name}: attempt {end['attempt']} ended with code {end['code']}"
        message += "".join(f"{sep}{end[k]}" for sep, k in ((": ", "cause"), ("; ", "hint")) if end.get(k))
        self.world.facts.tell("unit-exited", self.unit.fact(end["reason"], message), {"actor": actor.name, **end})

    async def refresh_group(self) -> None:
        """Ask Ray again for the group's state."""
        if self.unit.group_handle is None or self.gone:
            return
        row = await self.world.ray.group_row(self.unit.group_handle)
        self.take_group_row(row)

    def take_group_row(self, row: dict[str, Any]) -> None:
        """Take over Ray's row about the group."""
        state = row.get("state", "REMOVED") if row else "REMOVED"
        self.bundle_nodes = {str(k): v for k, v in (row.get("bundles_to_node_id") or {}).items() if v}
        bundles = range(len(self.unit.group.get("bundles") or []))
        nodes = [self.bundle_nodes[str(i)] for i in bundles if str(i) in self.bundle_nodes]
        group = {**self.unit.group, "state": state, "nodes": nodes if len(nodes) == len(bundles) else []}
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
        self.world.units.pop((self.unit.server, self.unit.unit), None)


def merge(newer: Command, older: Command) -> None:
    """What an older start has asked for and the newer does not name is still wanted."""
    for name, attempt in older.attempts.items():
        if name not in newer.attempts and any(a["name"] == name for a in newer.template["actors"]):
            newer.attempts[name] = attempt

