"""Requests wait while NATS comes back, where it carries them.

The frontend and the workers connect to it again each after a wait of its own. A request
that the frontend sends to a worker which has not subscribed yet is refused, and Dynamo
sets that worker aside for 5 s: a model with one worker is refused for as long. So the
frontend is paused until every worker has answered NATS's question who serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats

from ..common.deadline import in_time
from ..common.log import log
from ..common.template import ActorTemplate
from . import access
from .live import LiveUnit
from .ray_api import RayActorError
from .units import RUNNING, ActorView

# How long a pause lasts, in seconds, where a worker does not answer: as long as it may
# put off its next attempt, which doubles while NATS is away.
SHORTEST, LONGEST = 1.0, 5.0
POLL = 0.02
# Ids of NATS services begin with a text of the process; all that it serves share it.
PROCESS_ID = 12
Login = Callable[[], Awaitable[dict[str, Any]]]


async def pause_frontend(live: LiveUnit, server: ActorView) -> None:
    """Pause the frontend of an infra whose NATS, server, is about to be executed again,
    until the workers are back."""
    end = server.snap["exit"]
    ended = end["at"] if end else 0.0
    limit = min(max(2 * (time.time() - ended), SHORTEST), LONGEST)
    for actor in live.unit.actors.values():
        if actor.live and actor.state == RUNNING and sends_over_nats(actor.template):
            try:
                await live.call(actor, "hold", limit, timeout=1.0)
            except (RayActorError, asyncio.TimeoutError, AttributeError) as err:  # an older actor cannot
                log("warn", "the frontend is not paused while NATS comes back", error=repr(err)[:200])
                continue
            url = f"nats://{server.ip}:{server.snap['ports']['nats']}"
            live.world.spawn(_let_go(live, actor, functools.partial(_login, live, url, server), limit))


def sends_over_nats(template: ActorTemplate) -> bool:
    """Whether a process is a frontend whose requests NATS carries."""
    argv = template.get("argv") or []
    return "dynamo.frontend" in argv and ("--request-plane", "nats") in itertools.pairwise(argv)


async def _login(live: LiveUnit, url: str, server: ActorView) -> dict[str, Any]:
    """How NATS, server, is dialled."""
    given = await access.told(live.world, server)
    return {"servers": url, **({"user": given["user"], "password": given["password"]} if given else {})}


async def _let_go(live: LiveUnit, actor: ActorView, login: Login, limit: float) -> None:
    wanted = workers(live)
    try:
        await in_time(_all_subscribed(login, wanted), limit)
    except asyncio.TimeoutError:
        log("warn", "not every worker subscribed again in time", wanted=wanted)
    finally:
        with contextlib.suppress(RayActorError, asyncio.TimeoutError):  # it lets go by itself
            await live.call(actor, "release", timeout=1.0)


def workers(live: LiveUnit) -> int:
    """How many workers of the server are there to answer."""
    units = [u for u in live.world.units.values() if u.server == live.unit.server and not u.foreign]
    return sum(a.live and a.state == RUNNING and bool(a.snap["lease"]) for u in units for a in u.actors.values())


async def _all_subscribed(login: Login, wanted: int) -> None:
    while True:
        try:
            nc = await nats.connect(  # which tries again as often as it takes
                **await login(),
                allow_reconnect=False,
                max_reconnect_attempts=-1,
                reconnect_time_wait=POLL,
                connect_timeout=1,
                error_cb=_quiet,
            )
        except (OSError, asyncio.TimeoutError, nats.errors.Error, RayActorError):
            await asyncio.sleep(POLL)
            continue
        try:
            while len(await _serving(nc)) < wanted:
                pass
            return
        except nats.errors.Error:
            await asyncio.sleep(POLL)  # it has ended again
        finally:
            await nc.close()


async def _serving(nc: Any) -> set[str]:
    """The processes that answer within POLL."""
    answers: list[bytes] = []

    async def take(message: Any) -> None:
        if message.data:  # nobody answers: NATS says so itself, in a header
            answers.append(message.data)

    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, cb=take)
    await nc.publish("$SRV.PING", reply=inbox)
    await asyncio.sleep(POLL)
    await subscription.unsubscribe()
    return {json.loads(a)["id"][:PROCESS_ID] for a in answers}


async def _quiet(_: Exception) -> None:
    """It is tried again."""
