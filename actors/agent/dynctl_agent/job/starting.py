"""A start: make the placement group, the actors and the attempts exist."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from ..common.log import log
from ..common.messages import Access, Described, Failure, Header, Request, Stale
from ..common.template import ActorTemplate, Group, PortRule, UnitTemplate, references
from . import access, answers, pause, warm
from .commands import Command
from .live import LiveUnit
from .ray_api import RayActorError, ask
from .stopping import remove
from .units import DEAD, PENDING, PLACING, RUNNING, ActorView, UnitView

# A predecessor's port may take a moment to be free again.
PORT_PATIENCE = 3.0
RETRIES = 5
FOUND_PATIENCE = 20.0
# How long an actor is not asked for while what it needs is not, in seconds.
NEEDS_FIRST = 2.0


class PlacementTimeout(Exception):
    """The group was not ready in time."""


class NotOwner(Exception):
    """The name belongs to an actor of another store."""


async def start(live: LiveUnit, command: Command) -> None:
    """Make it so. Ends when all attempts are executed, or cannot be."""
    unit = live.unit
    await live.settle()
    await _end_others(live, command.template)
    unit.identify(command.template, command.placement)
    unit.failed, unit.reason, unit.message = False, "", ""
    for actor in unit.actors.values():
        goal = command.attempts.get(actor.name)
        actor.aimed = goal["number"] if goal else actor.aimed
    for template in command.template["actors"]:
        unit.actors[template["name"]].next_ports = template.get("ports") or []
    pids = {a.pid for a in unit.actors.values()}
    for n in range(RETRIES):
        try:
            await _make_it_so(live, command)
            live.world.used({a.node for a in unit.actors.values() if a.live and a.pid not in pids})
            if command.ahead:
                live.world.spawn(warm.ahead(live))
            return
        except PlacementTimeout as err:
            await give_up(live, "PlacementTimeout", str(err))
            return
        except NotOwner as err:
            unit.failed, unit.reason, unit.message = True, "NotOwner", str(err)
            live.changed()
            return
        except Exception as err:  # Ray may fail in any way; a repeat is harmless
            log("error", "start failed", unit=unit.unit, causeId=unit.cause_id, error=repr(err))
            unit.message = said(err)
            await asyncio.sleep(0.2 * 2**n)
    await give_up(live, "StartFailed", unit.message)


async def _end_others(live: LiveUnit, template: UnitTemplate) -> None:
    """End what an earlier start of the unit has begun to make for another shape of it, as when
    room appeared between the two. What has executed something stays: it may serve."""
    names = {a["name"] for a in template["actors"]}
    others = [a for a in live.unit.actors.values() if a.name not in names]
    for actor in [a for a in others if not a.silent and not a.snap["attempt"]]:
        log("info", "an actor is not wanted any more", actor=actor.name, causeId=live.unit.cause_id)
        del live.unit.actors[actor.name]
        handle, actor.handle = actor.handle, None  # so its end is no exit
        if handle is not None:
            await live.world.ray.kill(handle)


def said(err: BaseException) -> str:
    """An error of Ray's in a line. Of what cannot be sent it tells on a page, and what it
    rests on in a line at its end."""
    if err.__cause__ is not None and "\n" in str(err):
        return f"{type(err).__name__}: {str(err).splitlines()[0]} {err.__cause__!r}"[:500]
    return repr(err)[:500]


async def _make_it_so(live: LiveUnit, command: Command) -> None:
    created = await _ensure_group(live, command)
    work = [asyncio.ensure_future(_placed(live, command, created))]
    work += [asyncio.ensure_future(_drive(live, command, t)) for t in command.template["actors"]]
    try:
        await asyncio.gather(*work)
    finally:
        for task in work:
            task.cancel()


# The group.


async def _ensure_group(live: LiveUnit, command: Command) -> bool:
    """Make the group asked for; reports whether it is a new one."""
    unit, ray = live.unit, live.world.ray
    wanted = command.template["placementGroup"]
    if _has_group(unit, wanted):
        return False
    group = await ray.find_group(wanted["name"])
    row: dict[str, Any] = await ray.group_row(group) if group else {}
    living = any(a.live for a in unit.actors.values())
    if (
        group is not None
        and row
        and not living
        and (row["state"] in ("REMOVED", "RESCHEDULING") or _other_shape(row, wanted))
    ):
        await ray.remove_group(group)
        group, row = None, {}
    created = group is None
    if group is None:
        unit.group = {**wanted, "state": "PENDING"}
        group = await live.make(_create_group(live, wanted))
    unit.group_handle = group
    unit.group = {**wanted, "id": group.id.hex(), "state": row.get("state", "PENDING")}
    unit.pending = False
    for actor in unit.actors.values():
        if actor.phase == PENDING:
            actor.phase = PLACING
    live.changed()
    return created


async def _create_group(live: LiveUnit, wanted: Group) -> Any:
    live.unit.group_handle = await live.world.ray.create_group(wanted)
    return live.unit.group_handle


def _has_group(unit: UnitView, wanted: Group) -> bool:
    """Living actors prove a group; to ask Ray again would cost more than an exec."""
    living = any(a.live for a in unit.actors.values())
    same = unit.group.get("name") == wanted["name"] and unit.group.get("state") == "CREATED"
    return living and same and unit.group_handle is not None


def _other_shape(row: dict[str, Any], wanted: Group) -> bool:
    def shape(bundle: dict[str, Any]) -> tuple[float, float]:
        return (float(bundle.get("CPU", 0)), float(bundle.get("GPU", 0)))

    bundles = row.get("bundles") or {}
    have = [shape(bundles[k]) for k in sorted(bundles, key=int)]
    return row.get("strategy") != wanted["strategy"] or have != [shape(b) for b in wanted["bundles"]]


async def _placed(live: LiveUnit, command: Command, created: bool) -> None:
    """Until the group is ready. Actors that answer prove it sooner than Ray's table."""
    limit = float(command.template.get("placementTimeout") or 0)
    begun, pause, unit = time.monotonic(), 0.05, live.unit
    if _has_group(unit, command.template["placementGroup"]):
        return
    while True:
        await live.refresh_group()
        if unit.group.get("state") == "CREATED":
            if created:
                message = f"in {time.monotonic() - begun:.2f} s"
                live.world.facts.tell("placement-created", unit.fact("Created", message))
            return
        left = limit - (time.monotonic() - begun) if limit else pause
        if left <= 0:
            raise PlacementTimeout(f"the placement group was not ready in {limit:.0f} s")
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, 1.0)


async def give_up(live: LiveUnit, reason: str, message: str) -> None:
    """Leave nothing: processes, then actors, then the group."""
    unit = live.unit
    unit.removing = True
    try:
        await remove(live, 0.0)
    finally:
        unit.removing = False
    unit.failed, unit.reason, unit.message = True, reason, message
    unit.group = {**unit.group, "state": "REMOVED"}
    unit.actors = {}
    live.world.facts.tell("placement-failed", unit.fact(reason, message))
    live.changed()


# Actors.


async def _drive(live: LiveUnit, command: Command, template: ActorTemplate) -> None:
    actor = live.unit.actors[template["name"]]
    goal = command.attempts.get(actor.name)
    try:
        await _ensure_actor(live, command, template)
        if goal is not None and actor.snap["attempt"] < goal["number"]:
            await _attempt(live, command, template)
    except answers.Silent as err:
        log("warn", "an actor is left alone", actor=actor.name, reason=str(err))
        live.unit.reason, live.unit.message = answers.SILENT, str(err)
        live.changed()
    except RayActorError as err:
        # Dead again: said in the unit, and the reconciler decides.
        log("warn", "an actor died during a start", actor=actor.name, error=str(err)[:500])
        if actor.handle is not None:
            live.died(actor, actor.handle, str(err))


async def _ensure_actor(live: LiveUnit, command: Command, template: ActorTemplate) -> None:
    unit, ray = live.unit, live.world.ray
    actor = unit.actors[template["name"]]
    if actor.live:
        return
    actor.phase, actor.template = PLACING, template
    live.changed()
    await _needs_first(live, template)
    for fresh in (False, True):
        # Ray starts processes in the order in which it is asked, and gives the first one what
        # idle process it has: to what the others wait for, which comes first in a template.
        async with live.creating:
            actor.handle = handle = None if fresh else await ray.find_actor(actor.name)
            created = await live.make(_create(live, command, template)) if handle is None else None
        live.world.changed.fire()
        if created is not None:
            handle = created
            described = await answers.made(live, actor, handle)
            break
        try:
            described = await _ask_found(live, handle)
            break
        except RayActorError:
            pass
        except asyncio.TimeoutError:
            await ray.kill(handle)
    if "stale" in described:
        live.world.stale(described["stale"])
        raise RuntimeError(f"{actor.name} refuses this incarnation")
    if described["storeId"] != unit.store_id:
        raise NotOwner(f"{actor.name} belongs to store {described['storeId']!r}; sweep it or use another server name")
    live.adopt(actor, handle, described)
    live.changed()


async def _needs_first(live: LiveUnit, template: ActorTemplate) -> None:
    """Until Ray was asked for what an actor waits for in any case, as of the infra unit that is
    started with it: whoever asks first gets the process that is idle, and the rest take longer
    the more of them start at once."""

    def asked(need: str) -> bool:
        found = live.world.find(live.unit.server, need)
        return found is None or found.handle is not None or found.phase not in (PENDING, PLACING)

    needs = template.get("needs") or []
    all_asked = live.world.changed.until(lambda: all(asked(need) for need in needs))
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(all_asked, NEEDS_FIRST)


async def _ask_found(live: LiveUnit, handle: Any) -> Described | Stale:
    """What an actor says that is there already. It may be dying, or wait for a group that
    is no more; its name is free afterwards. One whose group waits for nodes waits with it.
    Raises RayActorError, asyncio.TimeoutError."""
    call: asyncio.Future[Described | Stale] = asyncio.ensure_future(ask(handle.describe.remote(live.world.caller())))
    try:
        while True:
            placed = live.unit.group.get("state") != "PENDING"
            await asyncio.wait([call], timeout=FOUND_PATIENCE)
            if call.done():
                return call.result()
            if placed:
                raise asyncio.TimeoutError
    finally:
        call.cancel()


async def _create(live: LiveUnit, command: Command, template: ActorTemplate) -> Any:
    header: Header = {
        "storeId": live.unit.store_id, "actor": template["name"], "template": command.template,
        "placement": command.placement, "goals": command.attempts, "binDirs": live.world.config.bin_dirs,
        "cacheDir": live.world.config.cache_dir, "origin": command.origin,
    }
    actor, ray = live.unit.actors[template["name"]], live.world.ray
    try:
        actor.handle = await ray.create_actor(template, live.unit.group_handle, header)
    except ValueError:
        actor.handle = await ray.find_actor(template["name"])  # its name is not free yet
        if actor.handle is None:
            raise
    return actor.handle


# Attempts.


async def _attempt(live: LiveUnit, command: Command, template: ActorTemplate) -> None:
    world, unit = live.world, live.unit
    actor, goal = unit.actors[template["name"]], command.attempts[template["name"]]
    if actor.snap["childPid"]:
        await answers.present(live, actor)
    if not _ready_to_execute(live, template):
        await answers.answered(live, actor, "aim", command.template, command.attempts, command=command.origin)
        live.changed()
        await world.changed.until(lambda: actor.phase == DEAD or _ready_to_execute(live, template))
    if actor.snap["childPid"]:
        await answers.answered(live, actor, "terminate", float(template.get("terminationGracePeriod") or 0))
    actor.template = template
    failure = await _find_ports(live, actor)
    actor.ported = goal["number"]
    world.changed.fire()
    resolved: dict[str, str] = {}
    given: dict[str, Access] = {}
    if failure is None:
        resolved = await _resolve(live, actor)
        given = await access.granted(live, actor)
        if unit.unit == "infra":
            await world.carried()
    own = f":{unit.unit}/"
    request: Request = {
        "template": command.template, "attempt": goal, "resolved": resolved, "failure": failure,
        "uses": {k: v for k, v in resolved.items() if own not in k}, "previousLease": actor.snap["previousLease"],
        "lastExit": actor.snap["exit"] or actor.snap.get("lastExit"), "goals": command.attempts,
        "access": given, "closes": access.may_close(world, unit.server, template),
        "programs": world.config.programs,
    }
    unit.executes(command.template)
    if template["health"].get("kind") == "nats" and goal["number"] > 1 and failure is None:
        await pause.pause_frontend(live, actor)
    await answers.answered(live, actor, "execute", request, command=command.origin)


def _ready_to_execute(live: LiveUnit, template: ActorTemplate) -> bool:
    for need in template.get("needs") or []:
        found = live.world.find(live.unit.server, need)
        if found is None or found.state != RUNNING:
            return False
    return True


async def _find_ports(live: LiveUnit, actor: ActorView) -> Failure | None:
    """Ports for the next attempt, recorded in the actor; a failure if there are none."""
    rules: list[PortRule] = actor.template.get("ports") or []
    if not rules:
        return None
    # On another machine the port of the last attempt is a number like any other.
    previous = dict(actor.snap["ports"]) if actor.ports_ip == actor.ip else {}
    begun = time.monotonic()
    while True:
        async with live.world.node_lock(actor.node):
            taken = live.world.taken_ports(actor.node, actor)
            answer = await answers.answered(live, actor, "find_ports", rules, taken, previous)
        if "conflict" not in answer:
            return None
        if time.monotonic() - begun > PORT_PATIENCE:
            return {"reason": "PortConflict", "message": answer["conflict"]}
        await asyncio.sleep(0.05)


async def _resolve(live: LiveUnit, actor: ActorView) -> dict[str, str]:
    """Values for the references of a template, once all are known."""
    world, server = live.world, live.unit.server
    wanted = references(actor.template)

    def known() -> bool:
        return actor.phase == DEAD or all(world.resolve(server, p) is not None for p in wanted)

    await world.changed.until(known)
    return {p: world.resolve(server, p) or "" for p in wanted}
