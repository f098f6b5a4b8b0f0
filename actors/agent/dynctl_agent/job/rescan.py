"""Looks again at what Ray holds under our names: what others have made or removed."""

from __future__ import annotations

from .makers import Makers
from .rebuild import discover, held
from .roster import Roster
from .runner import Runner
from .world import World

EVERY = 3.0


class Rescan:
    """One look after the other, each compared with what is known."""

    def __init__(self, world: World, roster: Roster) -> None:
        self._world, self._roster = world, roster

    async def once(self) -> None:
        """Look at all that Ray holds. Raises Stale, and what Ray raises."""
        before = [(r, r.unit.group_handle) for r in self._roster.all()]
        there = await held(self._world.ray)
        rows = {r["placement_group_id"]: r for r in there.groups}
        names, makers = set(there.actors), Makers(self._world.ray)
        for runner, handle in before:
            unit = runner.unit
            if handle is not None and unit.group_handle is handle:
                runner.live.take_group_row(rows.get(handle.id.hex(), {}))
            if unit.foreign and not unit.stopping:
                await self._look_at_foreign(runner, names, makers)
        found = await discover(self._world, there, *self._known())
        for key in found.grown:
            grown = self._roster.get(*key)
            if grown is not None:
                grown.live.changed()
        actors, groups = self._known()
        for unit in found.units:
            # What has begun since the look is known better by its own runner.
            if not actors & set(unit.actors) and unit.group["name"] not in groups:
                for bare in [r for r in self._bare() if r.unit.group["name"] == unit.group["name"]]:
                    await bare.live.forget()
                live = self._roster.add(unit).live
                live.tell_unseen()
                live.changed()

    def _known(self) -> tuple[set[str], set[str]]:
        runners, bare = self._roster.all(), self._bare()
        actors = {a for r in runners for a in r.unit.actors}
        return actors, {r.unit.group["name"] for r in runners if r.unit.group["name"] and r not in bare}

    def _bare(self) -> list[Runner]:
        """Groups in which no actor was found yet that could say whose they are."""
        return [
            r
            for r in self._roster.all()
            if r.unit.foreign and not r.unit.actors and not r.unit.stopping and not r.busy
        ]

    async def _look_at_foreign(self, runner: Runner, names: set[str], makers: Makers) -> None:
        unit = runner.unit
        for name in [n for n in unit.actors if n not in names]:
            del unit.actors[name]
            unit.makers.pop(name, None)
            runner.live.changed()
        if unit.group.get("state") == "REMOVED":
            unit.makers.pop(unit.group["name"], None)
        if unit.job_alive and unit.makers and await makers.judge(unit):
            runner.live.changed()
        if not unit.actors and unit.group.get("state", "REMOVED") == "REMOVED":
            await runner.live.forget()
