"""The credentials of services, between the actors that have them: the etcd and the NATS of
a server make them, its Dynamo processes are executed with them or, where etcd is not ours,
with what the Server says, and the reconciler asks for etcd's: `dynctl.agent.access`
(docs/protocol.md, "Access to the data plane").
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from ..common.log import log
from ..common.template import ETCD, ActorTemplate, service
from . import values
from .ray_api import RayActorError, ask
from .units import DEAD, RUNNING, ActorView, UnitView

if TYPE_CHECKING:
    from ..common.messages import Access
    from .live import LiveUnit
    from .world import World

SUBJECT = "dynctl.agent.access"
ACTOR_TIMEOUT = 3.0
RETRY = 0.1
INFRA = "infra"
LOGIN = (
    "ETCD_AUTH_USERNAME and _PASSWORD, nor with ETCD_AUTH_CA, _CLIENT_CERT and _CLIENT_KEY, "
    "which the env of the Server gives it"
)


def may_close(world: World, server: str, template: ActorTemplate) -> bool:
    """Whether a service that lets in only who has its credential would cut off none of the
    processes that need it: those run with one, or will be executed with it. An actor of an
    earlier version executes none with one."""
    name, label = service(template), template.get("label")
    for actor in _actors(world, server):
        if actor.silent or (actor.handle is not None and not hasattr(actor.handle, "tell_access")):
            return False
        needs = [need.rpartition("/")[2] for need in actor.template.get("needs") or []]
        if label in needs and actor.snap["childPid"] and name not in (actor.snap.get("access") or {}):
            return False
    return bool(name)


def _actors(world: World, server: str) -> Iterator[ActorView]:
    for unit in world.units.values():
        if unit.server == server and not unit.foreign:
            yield from unit.actors.values()


async def granted(live: LiveUnit, client: ActorView) -> dict[str, Access]:
    """What a process is let in with by the services that it needs and that are closed."""
    out: dict[str, Access] = {}
    for need in client.template.get("needs") or []:
        while client.phase != DEAD:
            server = live.world.find(live.unit.server, need)
            if server is not None and server.state == RUNNING:
                try:
                    access = await told(live.world, server)
                except (RayActorError, asyncio.TimeoutError) as err:
                    log("warn", "a service does not tell its credential", actor=server.name, error=repr(err)[:200])
                else:
                    if access is not None:
                        out[service(server.template)] = access
                    break
            await asyncio.sleep(RETRY)
    return out


async def told(world: World, server: ActorView) -> Access | None:
    """The credential of a service; None if it lets everybody in. Raises RayActorError,
    asyncio.TimeoutError."""
    wanted = (server.snap.get("access") or {}).get(service(server.template))
    if not wanted:
        return None
    if wanted not in world.access:
        answer = await _ask(world, server)
        if not answer:
            return None
        world.access[answer["id"]] = cast("Access", answer)
    return world.access.get(wanted)


async def _ask(world: World, actor: ActorView) -> dict[str, str]:
    """What an actor tells of its credential. Raises as told does."""
    answer = await ask(actor.handle.tell_access.remote(world.caller()), ACTOR_TIMEOUT)
    if "stale" in answer:
        world.stale(answer["stale"])
        raise asyncio.TimeoutError
    return cast("dict[str, str]", answer)


async def serve(world: World) -> None:
    """Answer from now on, for as long as the connection is there."""
    await world.answer(SUBJECT, lambda data: _reply(world, data))


async def _reply(world: World, data: bytes) -> dict[str, str]:
    try:
        return await answer(world, values.decode(data))
    except (ValueError, KeyError, TypeError) as err:
        return {"error": repr(err)[:300]}
    except (RayActorError, asyncio.TimeoutError) as err:
        return {"error": f"the actor of etcd does not tell it: {repr(err)[:200]}"}


async def answer(world: World, request: Any) -> dict[str, str]:
    """The credential of a server's etcd; {} if it is open. Of an etcd that is not ours it is
    the one that the frontend was executed with. Raises as told does, and ValueError."""
    name = request["server"]
    for actor in _actors(world, name):
        if service(actor.template) == ETCD and actor.live:
            return cast("dict[str, str]", await told(world, actor) or {})
    for unit in world.units.values():
        if unit.server == name and unit.unit == INFRA and not unit.foreign:
            return await _of_frontend(world, unit)
    raise ValueError(f"no etcd of server {str(name)[:100]} runs")


async def _of_frontend(world: World, infra: UnitView) -> dict[str, str]:
    for actor in infra.actors.values():
        if not service(actor.template) and actor.live and hasattr(actor.handle, "tell_access"):
            login = await _ask(world, actor)
            if login:
                return login
    raise ValueError(f"no frontend of server {infra.server[:100]} was executed with {LOGIN}")
