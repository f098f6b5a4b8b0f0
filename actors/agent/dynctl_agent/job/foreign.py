"""Actors that are not of our class: what a killed Curator driver leaves behind.

They know no `stop`, and killing one leaves its child processes running, so those
are found and ended on their node first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common.deadline import in_time
from ..common.log import log

if TYPE_CHECKING:
    from .ray_api import Ray
    from .units import ActorView


async def end_children(ray: Ray, actor: ActorView, grace: float) -> None:
    """End the child processes of a foreign actor, with their groups."""
    try:
        if not actor.pid or not actor.node:
            await _locate(ray, actor)
        if not actor.pid or not actor.node:
            log("warn", "Ray does not tell where an actor runs; its children are left", actor=actor.name)
            return
        left = await in_time(ray.end_descendants(actor.node, actor.pid, grace), grace + 60)
        if left:
            log("warn", "processes are left", actor=actor.name, pids=left)
    except Exception as err:  # a node that is gone has no processes
        log("warn", "children not ended", actor=actor.name, error=repr(err)[:300])


async def _locate(ray: Ray, actor: ActorView) -> None:
    """Learn where an actor runs that was found while it started."""
    for row in await ray.actor_rows():
        if row.get("name") == actor.name:
            actor.node, actor.pid = row.get("node_id") or "", int(row.get("pid") or 0)
