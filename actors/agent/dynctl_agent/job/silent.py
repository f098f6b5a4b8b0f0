"""Actors of our class that did not say what they are when an agent took over: they
are not made yet (their group waits for nodes) or slow.

What was reported of them last stands until they answer. They are never taken for
somebody else's, for those are refused a start, and swept once their driver is dead.
"""

from __future__ import annotations

import asyncio
import time

from ..common.log import log
from ..common.messages import Described, Origin, Stale
from ..common.template import ActorTemplate
from . import answers
from .ray_api import ActorUnavailableError, RayActorError, ask
from .rebuild import forget_unmade, resume
from .runner import Runner
from .units import ActorView

LOOK = 0.5
# What Ray calls an actor that never ran.
UNMADE = ("DEPENDENCIES_UNREADY", "PENDING_CREATION")


def attend(runner: Runner) -> None:
    """Wait for the silent actors of a unit, and for its placement no longer than a start
    would have: what is to be done with it stands in the actors."""
    silent = [a for a in runner.unit.actors.values() if a.silent]
    for actor in silent:
        runner.live.world.spawn(_listen(runner, actor))
        if not runner.unit.foreign:
            runner.live.world.spawn(_made_in_time(runner, actor))
    if silent and not runner.unit.foreign and runner.unit.placement_timeout:
        runner.live.world.spawn(_placed_in_time(runner))


async def _listen(runner: Runner, actor: ActorView) -> None:
    handle = actor.handle
    described = await _described(runner, actor)
    if described is None or actor.handle is not handle or not actor.silent:
        return  # a start has found it first, or it is gone
    if "stale" in described:
        runner.live.world.stale(described["stale"])
        return
    unit = runner.unit
    if unit.foreign or described.get("storeId") != unit.store_id:
        log("info", "an actor says at last what it is", actor=actor.name, storeId=described.get("storeId"))
        if not unit.stopping:
            await runner.live.forget()  # the next look takes it for what it is
        return
    actor.template = next((a for a in described["template"]["actors"] if a["name"] == actor.name), ActorTemplate())
    runner.live.adopt(actor, handle, described)
    actor.described = described
    if not unit.unknown:
        _go_on(runner)
    runner.live.changed()


async def _described(runner: Runner, actor: ActorView) -> Described | Stale | None:
    handle = actor.handle
    while actor.handle is handle and actor.silent and not runner.live.gone:
        try:
            described: Described | Stale = await ask(handle.describe.remote(runner.live.world.caller()))
            return described
        except ActorUnavailableError:
            await asyncio.sleep(LOOK)
        except RayActorError as err:
            if not runner.unit.foreign:
                runner.live.died(actor, handle, str(err))
            return None
    return None


def _go_on(runner: Runner) -> None:
    """All have answered: the unit is known as if they had at once."""
    unit = runner.unit
    described: list[Described] = [a.described for a in unit.actors.values() if a.live and a.described]
    newest = max(described, key=lambda d: (d["snapshot"]["startedAt"], d["createdAt"]))
    unit.identify(newest["template"], newest["placement"])
    unit.executes(newest["template"])
    unit.told(newest.get("origin") or Origin())
    command = None if unit.stopping or runner.busy else resume(runner.live.world, unit, described)
    forget_unmade(unit, command)
    if command is not None:
        runner.submit(command)


async def _placed_in_time(runner: Runner) -> None:
    unit, begun = runner.unit, time.monotonic()
    while unit.unknown and unit.group.get("state") == "PENDING" and not runner.live.gone:
        if time.monotonic() - begun > unit.placement_timeout:
            runner.expire(f"the placement group was not ready in {unit.placement_timeout:.0f} s")
            return
        await asyncio.sleep(LOOK)
        await runner.live.refresh_group()


async def _made_in_time(runner: Runner, actor: ActorView) -> None:
    """End an actor that Ray does not make; whoever listens to it hears of that. Ray itself
    has to say that it never ran: one that is there and hangs may serve."""
    live, handle, since = runner.live, actor.handle, time.monotonic()
    while actor.handle is handle and actor.silent and not live.gone:
        await asyncio.sleep(LOOK)
        if live.unit.group.get("state") != "CREATED":
            since = time.monotonic()
            await live.refresh_group()
        elif answers.idle(live, actor, since) > answers.MAKING_WITH_ENV:
            since = time.monotonic()
            if await _unmade(runner, actor):
                log("warn", "an actor that Ray does not make is given up", actor=actor.name)
                await live.world.ray.kill(handle)


async def _unmade(runner: Runner, actor: ActorView) -> bool:
    try:
        rows = await runner.live.world.ray.actor_rows()
    except Exception as err:  # the State API is slow or away: nothing is known
        log("warn", "Ray does not say whether an actor is made", actor=actor.name, error=repr(err)[:300])
        return False
    return any(r["name"] == actor.name and r["state"] in UNMADE for r in rows)
