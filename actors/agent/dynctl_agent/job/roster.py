"""The units that there are, each with what carries out its commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import silent
from .commands import Command
from .live import LiveUnit
from .runner import Runner
from .units import UnitView
from .world import World

Key = tuple[str, str]  # server and unit


class Roster:
    """Whoever joins it is watched, and shows in world.units until it is gone."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runners: dict[Key, Runner] = {}
        # Takes a start that came while its unit was about to go.
        self.accept: Callable[[Command], Any]

    def get(self, server: str, unit: str) -> Runner | None:
        """The one of that name, if there is one."""
        return self._runners.get((server, unit))

    def all(self) -> list[Runner]:
        """Those that there are now."""
        return list(self._runners.values())

    def add(self, unit: UnitView) -> Runner:
        """Watch a unit's actors from now on."""
        live = LiveUnit(self._world, unit, self._drop)
        runner = Runner(live, self.accept)
        self._put(unit, runner)
        for actor in unit.actors.values():
            if actor.live and hasattr(actor.handle, "wait") and not unit.foreign:
                live.watch(actor)
        silent.attend(runner)
        return runner

    def rename(self, runner: Runner, name: str) -> None:
        """It is another unit's name from now on."""
        self._drop(runner.unit)
        runner.live.move(name)
        self._put(runner.unit, runner)

    def clear(self) -> None:
        """Forget all: they are looked for again."""
        self._runners.clear()
        self._world.units.clear()

    def _put(self, unit: UnitView, runner: Runner) -> None:
        key = (unit.server, unit.unit)
        self._runners[key], self._world.units[key] = runner, unit

    def _drop(self, unit: UnitView) -> None:
        key = (unit.server, unit.unit)
        self._runners.pop(key, None)
        self._world.units.pop(key, None)
