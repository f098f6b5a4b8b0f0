"""Carries out the commands for one unit, one after another.

A newer start replaces one under way (every step of a start may be repeated); a stop
interrupts a start; nothing interrupts a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .commands import START, Command
from .live import LiveUnit
from .starting import give_up, start
from .stopping import stop
from .units import UnitView


class Runner:
    """The commands for one unit: those that wait, and the one that is carried out."""

    def __init__(self, live: LiveUnit, accept: Callable[[Command], Any]) -> None:
        """accept takes a start that came while its unit was about to go."""
        self.live, self._accept = live, accept
        self._pending: list[Command] = []
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def unit(self) -> UnitView:
        """The unit as it is seen."""
        return self.live.unit

    def submit(self, command: Command) -> None:
        """Carry out a command after, or instead of, what is under way."""
        if command.verb == START:
            self.live.world.spawn(self.live.writer.check())  # whoever asks may not see what there is
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
            self._task = self.live.world.spawn(self._work())

    async def _work(self) -> None:
        while self._pending and not self.live.gone:
            command = self._pending.pop(0)
            self._arrived.clear()
            await self._carry_out(command)
        if self._pending:
            self._accept(self._pending.pop())

    @property
    def busy(self) -> bool:
        """True while a command is carried out, or waits."""
        return self._task is not None and not self._task.done()

    def expire(self, message: str) -> None:
        """Its placement has not come: remove it, unless a command does something else."""
        if not self.busy:
            self._task = self.live.world.spawn(self._expire(message))

    async def _expire(self, message: str) -> None:
        await give_up(self.live, "PlacementTimeout", message)
        await self._work()

    async def _carry_out(self, command: Command) -> None:
        self.unit.told(command.origin)
        if command.verb != START:
            await stop(self.live, command)
            return
        work = asyncio.ensure_future(start(self.live, command))
        arrived = asyncio.ensure_future(self._arrived.wait())
        await asyncio.wait([work, arrived], return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        if not work.done():
            work.cancel()
            if self._pending and self._pending[0].verb == START:
                merge(self._pending[0], command)
        await asyncio.gather(work, return_exceptions=True)


def merge(newer: Command, older: Command) -> None:
    """What an older start has asked for and the newer does not name is still wanted."""
    for name, attempt in older.attempts.items():
        if name not in newer.attempts and any(a["name"] == name for a in newer.template["actors"]):
            newer.attempts[name] = attempt

