"""A stop or a sweep: processes, then actors, then the group, then the directory."""

from __future__ import annotations

import asyncio

from ..common.log import log
from ..common.messages import UNKNOWN, Origin
from . import warm
from .commands import SWEEP, Command
from .foreign import end_children
from .live import LiveUnit
from .ray_api import RayActorError
from .units import DEAD, ActorView

# What an actor may take beyond the grace period: two rounds for the rest of the group.
MARGIN = 15.0
DEATH = 10.0
# What the other ranks of a worker may take once the first has ended: they serve nothing.
FOLLOWERS = 10.0


async def stop(live: LiveUnit, command: Command) -> None:
    """End a unit; what is gone already is no error."""
    unit = live.unit
    unit.stopping = True
    for actor in unit.actors.values():
        actor.stopping = True
    live.changed()
    if command.ahead:
        live.world.spawn(warm.ahead(live))
    await remove(live, command.grace, command.origin)
    await live.forget()
    kind = "orphan-swept" if command.verb == SWEEP else "unit-stopped"
    lost, detail = cut(live, command.grace)
    live.world.facts.tell(kind, unit.fact("Stopped", "nothing of it is left" + lost), detail)


def cut(live: LiveUnit, grace: float) -> tuple[str, dict[str, int] | None]:
    """What the end of the grace period cost, in words and as a number."""
    if any(a.snap.get("hung") for a in live.unit.actors.values()):
        return "; it hung, and was killed", None
    counts = [a.snap.get("lost", 0) for a in live.unit.actors.values()]
    if UNKNOWN in counts:
        return f"; it had not finished within {grace:.0f} s, and did not say what was under way", None
    lost = sum(counts)
    if lost == 0:
        return "", None
    requests, were = ("request", "was") if lost == 1 else ("requests", "were")
    return f"; {lost} {requests} {were} not finished within {grace:.0f} s and {were} lost", {"lostRequests": lost}


async def remove(live: LiveUnit, grace: float, origin: Origin | None = None) -> None:
    """Processes, actors, group. Repeats what fails: a stop has no other end."""
    unit, ray = live.unit, live.world.ray
    await live.settle()
    for phase in _phases(live):
        await asyncio.gather(*(_end_process(live, a, grace, origin) for a in phase))
        if unit.model:
            grace = min(grace, FOLLOWERS)
    await asyncio.gather(*(_clean_and_kill(live, a) for a in unit.actors.values()))
    pause = 0.1
    while True:
        try:
            group = unit.group_handle or await ray.find_group(unit.group.get("name", ""))
            if group is not None:
                await ray.remove_group(group)
                while (await ray.group_row(group)).get("state", "REMOVED") != "REMOVED":
                    await asyncio.sleep(0.05)
            unit.group_handle = None
            return
        except Exception as err:  # Ray may be busy; nothing else will remove the group
            log("error", "group not removed yet", unit=unit.unit, error=repr(err))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)


def _phases(live: LiveUnit) -> list[list[ActorView]]:
    """Actors by the order of their end: infra one by one, the frontend first and etcd
    last. The first rank of a worker before the others, without which it could not
    finish what runs."""
    unit = live.unit
    actors = list(unit.actors.values())
    if unit.foreign or unit.template is None:
        return [actors]
    if unit.model:
        return [[a for a in actors if not a.template.get("bundle")], [a for a in actors if a.template.get("bundle")]]
    order = {a["name"]: i for i, a in enumerate(unit.template["actors"])}
    actors.sort(key=lambda a: order.get(a.name, len(order)), reverse=True)
    actors.sort(key=lambda a: not a.name.endswith("_Frontend"))
    return [[a] for a in actors]


def _made(live: LiveUnit, actor: ActorView) -> bool:
    """Whether an actor can answer; one that does not may be slow."""
    return actor.live or (actor.silent and live.unit.group.get("state") != "PENDING")


async def _end_process(live: LiveUnit, actor: ActorView, grace: float, origin: Origin | None) -> None:
    if not _made(live, actor):
        return  # nothing runs in it
    if live.unit.foreign and not hasattr(actor.handle, "describe"):
        await end_children(live.world.ray, actor, grace)
        return
    try:
        await live.call(actor, "stop", grace, timeout=grace + MARGIN, command=origin)
    except (RayActorError, asyncio.TimeoutError) as err:
        # Its reaper ends the group when the actor goes.
        log("warn", "an actor did not stop its process", actor=actor.name, error=repr(err)[:300])


async def _clean_and_kill(live: LiveUnit, actor: ActorView) -> None:
    handle = actor.handle
    if handle is None:
        return
    try:
        if _made(live, actor) and hasattr(handle, "clean"):
            await live.call(actor, "clean", timeout=MARGIN)
    except (RayActorError, asyncio.TimeoutError) as err:
        log("warn", "runtime directory not removed", actor=actor.name, error=repr(err)[:300])
    await live.world.ray.kill(handle)
    if actor.watch is not None:
        await asyncio.wait([actor.watch], timeout=DEATH)
    if actor.phase != DEAD:
        live.died(actor, handle, "killed")
