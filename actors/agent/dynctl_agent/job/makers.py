"""Whose a unit is that carries no store id: the Ray jobs that made its group and its
actors. While one of them lives, or is not known, nobody may take it for a leftover."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..common.log import log

if TYPE_CHECKING:
    from .ray_api import Ray
    from .units import UnitView


class Makers:
    """One look at Ray, which is asked when it is first needed, and once."""

    def __init__(self, ray: Ray) -> None:
        self._ray = ray
        self._actors: dict[str, dict[str, Any]] | None = None
        self._groups: dict[str, dict[str, Any]] | None = None
        self._live: set[str] | None = None

    async def actors(self) -> dict[str, dict[str, Any]]:
        """The State API's rows about living actors by name; those that it has told."""
        if self._actors is None:
            self._actors = {r["name"]: r for r in await self._told(self._ray.actor_rows) if r.get("name")}
        return self._actors

    async def _group(self, group_id: str) -> dict[str, Any]:
        """By id: names come again, and Ray lists removed groups too."""
        if self._groups is None:
            self._groups = {r["placement_group_id"]: r for r in await self._told(self._ray.group_rows)}
        return self._groups.get(group_id, {})

    @staticmethod
    async def _told(ask: Callable[[], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
        try:
            return await ask()
        except Exception as err:  # it is asked again at the next look
            log("warn", "no State API", error=repr(err)[:300])
            return []

    async def judge(self, unit: UnitView) -> bool:
        """Find out of a unit whether a job of it lives; reports whether that is news."""
        before = unit.job_alive, unit.message
        for name in [n for n, job in unit.makers.items() if not job]:
            if name == unit.group["name"]:
                unit.makers[name] = (await self._group(unit.group.get("id", ""))).get("creator_job_id") or ""
            else:
                unit.makers[name] = (await self.actors()).get(name, {}).get("job_id") or ""
        silent = sorted(a.name for a in unit.actors.values() if a.silent)
        nobodys = sorted(n for n, job in unit.makers.items() if not job)
        unit.message = ""
        if silent:
            unit.message = f"{silent[0]} does not answer yet"
        elif nobodys:
            unit.message = f"Ray does not tell yet which job made {nobodys[0]}"
        unit.job_alive = bool(silent or nobodys) or await self._any_live(set(unit.makers.values()))
        return before != (unit.job_alive, unit.message)

    async def _any_live(self, jobs: set[str]) -> bool:
        if self._live is None:
            try:
                self._live = set(await self._ray.live_jobs())
            except Exception as err:  # until the next look they count as living
                log("warn", "Ray does not tell which jobs live", error=repr(err)[:300])
                return True
        return bool(jobs & self._live)
