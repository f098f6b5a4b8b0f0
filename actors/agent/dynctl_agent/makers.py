"""Whose a unit is that carries no store id: the Ray jobs that made its group and its
actors. While one of them lives, or is not known, nobody may take it for a leftover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Set

from .log import log

if TYPE_CHECKING:
    from .ray_api import Ray
    from .units import UnitView


class Makers:
    """One look at Ray, which is asked when it is first needed, and once."""

    def __init__(self, ray: "Ray") -> None:
        self._ray = ray
        self._rows: Optional[Dict[str, Dict[str, Any]]] = None
        self._live: Optional[Set[str]] = None

    async def rows(self) -> Dict[str, Dict[str, Any]]:
        """The State API's rows about actors and groups by name; those that it has told."""
        if self._rows is None:
            self._rows = {}
            for ask in (self._ray.group_rows, self._ray.actor_rows):
                try:
                    self._rows.update({r["name"]: r for r in await ask() if r.get("name")})
                except Exception as err:  # it is asked again at the next look
                    log("warn", "no State API", error=repr(err)[:300])
        return self._rows

    async def judge(self, unit: "UnitView") -> bool:
        """Say of a unit whether a job of it lives; whether that is news."""
        before = unit.job_alive, unit.message
        rows = await self.rows() if "" in unit.makers.values() else {}
        for name in [n for n, job in unit.makers.items() if not job]:
            row = rows.get(name, {})
            group = unit.group.get("id", "")
            if row.get("placement_group_id") == group or not group:
                unit.makers[name] = row.get("job_id") or row.get("creator_job_id") or ""
        silent = sorted(a.name for a in unit.actors.values() if a.silent)
        nobodys = sorted(n for n, job in unit.makers.items() if not job)
        unit.message = ""
        if silent:
            unit.message = f"{silent[0]} does not answer yet"
        elif nobodys:
            unit.message = f"Ray does not tell yet which job made {nobodys[0]}"
        unit.job_alive = bool(silent or nobodys) or await self._any_live(set(unit.makers.values()))
        return before != (unit.job_alive, unit.message)

    async def _any_live(self, jobs: Set[str]) -> bool:
        if self._live is None:
            try:
                self._live = set(await self._ray.live_jobs())
            except Exception as err:  # until the next look they count as living
                log("warn", "Ray does not tell which jobs live", error=repr(err)[:300])
                return True
        return bool(jobs & self._live)
