"""What Ray holds under our names: at the start of an agent, and later what is new."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from ..common.log import log
from ..common.messages import Described, Goals, Origin, Stopping
from ..common.template import ActorTemplate, Group
from .commands import START, STOP, Command, Payload
from .makers import Makers
from .observed import ObservedUnit
from .ray_api import ActorUnavailableError, Ray, RayActorError, ask
from .units import PENDING, RUNNING, STOPPING, ActorView, UnitView
from .world import World

NAME = re.compile(r"^dynamo_([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)_([0-9a-f]{8})_(.+)$")
GROUP = "pg_"
INFRA = "infra"
DESCRIBE_TIMEOUT = 5.0


class Stale(Exception):
    """An actor of our store has seen a higher incarnation, its argument."""


class Found:
    """One actor that Ray holds. described is None when it is not of our class, or
    silent: of our class, and has not answered yet."""

    def __init__(self, name: str, handle: Any, described: Described | None, silent: bool = False) -> None:
        self.name, self.handle, self.described, self.silent = name, handle, described, silent
        match = NAME.match(name)
        assert match is not None
        self.server, self.generation, self.label = match.groups()


class Held(NamedTuple):
    """What Ray holds, asked once for all that look at it."""

    actors: list[str]  # the names of those of our namespace
    groups: list[dict[str, Any]]  # rows of all namespaces


async def held(ray: Ray) -> Held:
    """Actors first: the group of one is older than it, and would else seem to be removed."""
    return Held(await ray.actor_names(), await ray.groups())


class Discovered:
    """Units with, for those that were being stopped or have not reached their goals, a
    command that goes on where the last agent ended."""

    def __init__(self) -> None:
        self.units: list[UnitView] = []
        # Units known before that have more actors now.
        self.grown: list[tuple[str, str]] = []
        self.resume: dict[tuple[str, str], Command] = {}


async def discover(
    world: World, there: Held, known_actors: set[str], known_groups: set[str], reported: Sequence[ObservedUnit] = ()
) -> Discovered:
    """Everything under our names that is there and not known. reported: the units as the agent
    before said. Raises Stale."""
    names = [n for n in there.actors if NAME.match(n) and n not in known_actors]
    groups = await _groups(world, there, known_groups)
    found = [f for f in await asyncio.gather(*(_describe(world, n) for n in names)) if f is not None]
    out = Discovered()
    _add_described(world, out, [(f.handle, f.described) for f in found if f.described], groups)
    silent = _join(out, [f for f in found if f.silent])
    silent = _reclaim(world, out, silent, groups, reported)
    strangers = [f for f in found if not (f.described or f.silent)]
    if strangers or silent or groups:
        await _add_strangers(world, out, strangers + silent, groups)
    return out


async def _groups(world: World, there: Held, known: set[str]) -> dict[str, dict[str, Any]]:
    """Rows by name, with the handle: groups of our namespace only, which rows do not tell."""
    rows = {}
    for row in there.groups:
        match = NAME.match(row.get("name") or "")
        if match and match[3].startswith(GROUP) and row["state"] != "REMOVED" and row["name"] not in known:
            handle = await world.ray.find_group(row["name"])
            if handle is not None and handle.id.hex() == row["placement_group_id"]:
                rows[row["name"]] = {**row, "handle": handle}
    return rows


async def _describe(world: World, name: str) -> Found | None:
    handle = await world.ray.find_actor(name)
    if handle is None:
        return None
    if not hasattr(handle, "describe"):
        return Found(name, handle, None)
    try:
        described = await ask(handle.describe.remote(world.caller()), DESCRIBE_TIMEOUT)
        if "stale" in described:
            raise Stale(described["stale"])
        return Found(name, handle, described if "snapshot" in described else None)
    except Stale:
        raise
    except (asyncio.TimeoutError, ActorUnavailableError):
        log("warn", "an actor does not say yet what it is", actor=name)
        return Found(name, handle, None, silent=True)
    except RayActorError:
        return None  # it has died meanwhile
    except Exception as err:  # a class of others
        log("warn", "an actor does not describe itself", actor=name, error=repr(err)[:300])
        return Found(name, handle, None)


def _add_described(world: World, out: Discovered, found: list[tuple[Any, Described]], groups: dict[str, Any]) -> None:
    by_group: dict[str, list[tuple[Any, Described]]] = {}
    for handle, d in found:
        by_group.setdefault(d["template"]["placementGroup"]["name"], []).append((handle, d))
    # The newest infra unit of a server has that name; an older generation's gets its own.
    taken = set(world.units)
    for group, members in sorted(by_group.items(), key=lambda kv: -max(d["createdAt"] for _, d in kv[1])):
        d = max((d for _, d in members), key=lambda d: (d["snapshot"]["startedAt"], d["createdAt"]))
        t = d["template"]
        store, unit_id = d["storeId"], t["unit"]
        foreign = store != world.config.store_id
        if unit_id == INFRA and (foreign or (t["server"], INFRA) in taken):
            unit_id = f"{t['generation']}_{INFRA}"
        taken.add((t["server"], unit_id))
        unit = UnitView(t["server"], unit_id, store)
        unit.foreign, unit.job_alive = foreign, foreign
        unit.identify(t, d["placement"])
        unit.executes(t)
        unit.told(d.get("origin") or Origin())
        _take_group(unit, groups.pop(group, None), t["placementGroup"])
        for handle, said in members:
            name = said["actor"]
            actor = unit.actors.setdefault(name, ActorView(name))
            actor.template = next((a for a in said["template"]["actors"] if a["name"] == name), ActorTemplate())
            actor.adopt(handle, said)
            actor.described = said
        out.units.append(unit)
        command = resume(world, unit, [said for _, said in members])
        if command is not None:
            out.resume[(unit.server, unit.unit)] = command


def _join(out: Discovered, silent: list[Found]) -> list[Found]:
    """Silent actors whose unit is known from others of it; those that are left."""
    left = []
    for f in silent:
        unit = next((u for u in out.units if f.name in u.actors), None)
        if unit is None:
            left.append(f)
            continue
        unit.actors[f.name].silence(f.handle, unit.group.get("state") != "PENDING")
        # What was under way is not known before all have answered.
        out.resume.pop((unit.server, unit.unit), None)
    return left


def _reclaim(
    world: World, out: Discovered, silent: list[Found], groups: dict[str, Any], reported: Sequence[ObservedUnit]
) -> list[Found]:
    """Silent actors that were reported as ours; those that are left."""
    ours = [v for v in reported if v.get("storeId") == world.config.store_id]
    by_actor = {a["name"]: v for v in ours for a in v.get("actors") or []}
    units: dict[str, UnitView] = {}
    left = []
    for f in silent:
        value = by_actor.get(f.name)
        if value is None:
            left.append(f)
            continue
        group = value["placementGroup"]
        unit = units.get(group["name"])
        if unit is None:
            unit = units[group["name"]] = UnitView(value["server"], value["unit"], world.config.store_id)
            if any((u.server, u.unit) == (unit.server, unit.unit) for u in out.units):
                unit.unit = f"{value['generation']}_{INFRA}"  # a newer one has taken the name
            unit.recall(value)
            shape = cast(Group, {k: v for k, v in group.items() if k not in ("id", "state", "nodes")})
            _take_group(unit, groups.pop(group["name"], None), shape)
            out.units.append(unit)
        actor = unit.actors.setdefault(f.name, ActorView(f.name))
        actor.silence(f.handle, unit.group.get("state") != "PENDING")
    return left


def forget_unmade(unit: UnitView, command: Command | None) -> None:
    """Actors that Ray has never heard of, and that nobody is about to make."""
    for name in [n for n, a in unit.actors.items() if a.phase == PENDING]:
        if command is None or name not in command.attempts:
            del unit.actors[name]


def resume(world: World, unit: UnitView, described: list[Described]) -> Command | None:
    """What was under way, from what it told the actors: a stop (which was acknowledged,
    and is not asked for again while the unit says that it stops), or else a start."""
    for d in described:
        asked = d.get("stopping")
        if asked and asked["storeId"] == world.config.store_id:
            return _resume_stop(unit, asked)
    return None if unit.foreign else _resume_start(unit, described)


def _resume_stop(unit: UnitView, asked: Stopping) -> Command:
    return Command(
        asked.get("verb", STOP), unit.server, unit.unit, unit.generation, int(asked.get("epoch") or 0),
        asked.get("causeId", "resumed"), {"gracePeriod": asked["gracePeriod"]}, 0.0,
        spec_revision=int(asked.get("specRevision") or 0),
    )


def _resume_start(unit: UnitView, described: list[Described]) -> Command | None:
    # What was asked of an actor it knows best: the others may have heard of a higher number
    # before it was recreated, and counts from 1 again.
    told = {d["actor"]: d["goals"] for d in described}
    goals: Goals = {}
    for d in described:
        for name, goal in d["goals"].items():
            hearsay = d["actor"] != name and name in told.get(name, {})
            if not hearsay and goal["number"] > goals.get(name, {"number": 0})["number"]:
                goals[name] = goal
    newest = max(described, key=lambda d: max([g["number"] for g in d["goals"].values()] or [0]))
    template = newest["goalTemplate"]
    names = {a["name"] for a in template["actors"]}
    open_goals = {
        n: g for n, g in goals.items() if n in names and unit.actors[n].snap["attempt"] < g["number"]
    }
    if not open_goals:
        return None
    origin = newest.get("origin") or Origin()
    payload: Payload = {"template": template, "placement": newest["placement"]}
    return Command(
        START,
        unit.server,
        unit.unit,
        unit.generation,
        int(origin.get("epoch") or 0),
        origin.get("causeId") or "resumed",
        payload,
        0.0,
        attempts=open_goals,
        spec_revision=int(origin.get("specRevision") or 0),
    )


def _take_group(unit: UnitView, row: dict[str, Any] | None, wanted: Group) -> None:
    unit.pending = False
    if row is None:
        unit.group = {**wanted, "state": "REMOVED"}
        return
    unit.group_handle = row["handle"]
    unit.group = {**wanted, "id": row["placement_group_id"], "state": row["state"]}


# What is not ours, or cannot say so.


async def _add_strangers(world: World, out: Discovered, found: list[Found], groups: dict[str, Any]) -> None:
    makers = Makers(world.ray)
    units = {u.group.get("id", ""): u for u in world.units.values() if u.foreign}
    known = set(map(id, units.values()))
    for row in groups.values():
        units.setdefault(row["placement_group_id"], _group_unit(row))
    for f in found:
        r = (await makers.actors()).get(f.name, {})
        unit = units.get(r.get("placement_group_id") or "")
        if unit is None:
            unit = units[f"actor {f.name}"] = UnitView(f.server, f"{f.generation}_{f.label}", "")
            unit.generation, unit.foreign, unit.pending = f.generation, True, False
        actor = unit.actors[f.name] = ActorView(f.name)
        if f.silent:
            actor.silence(f.handle, unit.group.get("state") != "PENDING")
        else:
            unit.makers[f.name] = r.get("job_id") or ""
            actor.handle, actor.phase = f.handle, ""
            actor.node, actor.pid = r.get("node_id") or "", int(r.get("pid") or 0)
            actor.ip = world.node_ips.get(actor.node, "")
            actor.snap["state"] = RUNNING
        if id(unit) in known:
            out.grown.append((unit.server, unit.unit))
    for unit in units.values():
        if id(unit) not in known:
            out.units.append(unit)
        elif (unit.server, unit.unit) not in out.grown:
            continue
        await makers.judge(unit)


def _group_unit(row: dict[str, Any]) -> UnitView:
    match = NAME.match(row["name"])
    assert match is not None
    server, generation, rest = match.groups()
    unit = UnitView(server, f"{generation}_{rest[len(GROUP):]}", "")
    unit.generation, unit.foreign = generation, True
    bundles = row.get("bundles") or {}
    shapes = [{k: int(v) for k, v in bundles[i].items() if k in ("CPU", "GPU")} for i in sorted(bundles, key=int)]
    _take_group(unit, row, {"name": row["name"], "strategy": row.get("strategy", ""), "bundles": shapes})
    unit.makers[row["name"]] = ""
    return unit


def remember(unit: UnitView, value: ObservedUnit | None, store_id: str) -> None:
    """Complete a unit with what was reported of it last: actors that have died since,
    and whose a group without living actors is."""
    if value is None or value.get("storeId") != store_id:
        return
    if unit.foreign:
        if unit.actors or unit.group.get("name") != value["placementGroup"]["name"]:
            return
        unit.foreign, unit.store_id, unit.message = False, store_id, ""
        unit.recall(value)
    unit.stands(value)
    asked = {a["name"] for a in (unit.template or {}).get("actors", [])}
    for old in value.get("actors") or []:
        if asked and old["name"] not in asked:
            continue  # of nothing that the unit ever was
        actor = unit.actors.setdefault(old["name"], ActorView(old["name"], {"bundle": old.get("bundle", 0)}))
        if actor.live:
            actor.compare(old)
            continue
        if not old.get("attempt"):
            continue
        actor.recall(old)
        if not actor.silent:
            end = actor.die("it died while no agent looked", time.time())
            if value.get("state") == STOPPING:
                end["infraAway"] = False  # it was asked for: nobody is told

