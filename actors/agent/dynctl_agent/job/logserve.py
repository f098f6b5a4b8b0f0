"""Answers who asks for a log: `dynctl.agent.logs` (docs/protocol.md, "Logs")."""

from __future__ import annotations

import asyncio
from typing import cast

from ..common.messages import LogPiece, LogRequest, Refusal, Stale
from . import values
from .ray_api import RayActorError, ask
from .units import ActorView
from .world import World

SUBJECT = "dynctl.agent.logs"
ACTOR_TIMEOUT = 3.0


class Refused(Exception):
    """reason, message: why there is no log to read."""


async def serve(world: World) -> None:
    """Answer from now on, for as long as the connection is there."""
    await world.answer(SUBJECT, lambda data: _reply(world, data))


async def _reply(world: World, data: bytes) -> LogPiece | Refusal:
    try:
        return await answer(world, cast(LogRequest, values.decode(data)))
    except Refused as err:
        return refusal(*err.args)
    except (ValueError, KeyError, TypeError) as err:
        return refusal("BadRequest", repr(err)[:300])


def refusal(reason: str, message: str) -> Refusal:
    return {"error": {"reason": reason, "message": message}}


async def answer(world: World, request: LogRequest) -> LogPiece | Refusal:
    """The reply to a request. Raises Refused."""
    name, actor = request["actor"], find(world, request)
    if actor is None:
        raise Refused("NotFound", f"no actor {name} in unit {request['server']}/{request['unit']}")
    if actor.handle is None or not actor.live:
        raise Refused("ActorGone", f"actor {name} is {actor.state.lower()}")
    if not hasattr(actor.handle, "read_log"):
        raise Refused(
            "OldActor", f"actor {name} was made by a version that reads no logs; it does once its unit is recreated"
        )
    try:
        call = actor.handle.read_log.remote(world.caller(), request)
        reply: LogPiece | Refusal | Stale = await ask(call, ACTOR_TIMEOUT)
    except RayActorError as err:
        raise Refused("ActorGone", f"actor {name} is gone") from err
    except asyncio.TimeoutError as err:
        raise Refused("ActorSilent", f"actor {name} does not answer for {ACTOR_TIMEOUT:g} s") from err
    if "stale" in reply:
        raise Refused("Stale", "another agent is in charge")
    return reply


def find(world: World, request: LogRequest) -> ActorView | None:
    """The actor that a request names."""
    unit = world.units.get((request["server"], request["unit"]))
    return unit.actors.get(request["actor"]) if unit else None
