"""Actors that are not of our class: what a killed Curator driver leaves behind.

They know no `stop`, and killing one leaves its child processes running, so those
are found and ended on their node first.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from .deadline import in_time
from .log import log
from .procfs import processes

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
        left = await in_time(ray.on_node(actor.node, end_descendants, actor.pid, grace), grace + 60)
        if left:
            log("warn", "processes are left", actor=actor.name, pids=left)
    except Exception as err:  # a node that is gone has no processes
        log("warn", "children not ended", actor=actor.name, error=repr(err)[:300])


async def _locate(ray: Ray, actor: ActorView) -> None:
    """Learn where an actor runs that was found while it started."""
    for row in await ray.actor_rows():
        if row.get("name") == actor.name:
            actor.node, actor.pid = row.get("node_id") or "", int(row.get("pid") or 0)


def end_descendants(parent: int, grace: float) -> list[int]:
    """On the node: SIGTERM to the children of a process, the grace period, then
    SIGTERM, 5 s, SIGKILL, 5 s for all that descends from them or shares their groups.
    The pids that are left."""
    children = {p.pid for p in processes() if p.ppid == parent}
    family = set(children)

    def members() -> list[int]:
        """What lives of the family; it grows with what is found to belong to it."""
        table = list(processes())
        own = os.getpgid(0)
        groups = {p.pgrp for p in table if p.pid in children and p.pgrp == p.pid}
        grown = True
        while grown:
            grown = False
            for p in table:
                if p.pid not in family and p.pgrp != own and (p.ppid in family or p.pgrp in groups | children):
                    family.add(p.pid)
                    grown = True
        return [p.pid for p in table if p.pid in family and p.state not in ("Z", "X")]

    def send(pids: list[int], signum: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, signum)
            except OSError:
                pass

    for pids, signum, wait in (
        (children, signal.SIGTERM, grace),
        (None, signal.SIGTERM, 5.0),
        (None, signal.SIGKILL, 5.0),
    ):
        left = members()
        if not left:
            return []
        send(list(pids) if pids is not None else left, signum)
        end = time.monotonic() + wait
        while time.monotonic() < end and left:
            time.sleep(0.05)
            left = members()
            if pids is not None and not any(p in children for p in left):
                break
    return members()
