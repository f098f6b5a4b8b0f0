"""Requests wait while NATS comes back, where it carries them.

The frontend and the workers connect to it again each after a wait of its own, which
doubles while it is away. A request that the frontend sends to a worker which has not
subscribed yet is refused, and Dynamo sets that worker aside for 5 s: a model with one
worker is refused for as long. So the frontend is paused until the workers have had as
long as NATS was away.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Dict

from . import httpget
from .log import log
from .ray_api import RayActorError
from .units import RUNNING, ActorView

if TYPE_CHECKING:
    from .runner import Runner

# How long the workers get, in seconds: while NATS was away their next attempt was put
# off by no more than it was away, and by no more than LONGEST.
SHORTEST, LONGEST = 0.25, 4.0
LIMIT = LONGEST + 2.0  # of a pause, whatever happens
POLL = 0.01


async def pause_frontend(runner: "Runner", nats: ActorView) -> None:
    """Pause the frontend of an infra whose NATS is about to be executed again."""
    ended = (nats.snap.get("exit") or {}).get("at") or 0.0
    away = time.time() - ended if ended else LONGEST / 2
    request = {"host": nats.ip, "port": nats.snap["ports"]["nats"], "settle": min(max(away, SHORTEST), LONGEST)}
    for actor in runner.unit.actors.values():
        if actor.live and actor.state == RUNNING and sends_over_nats(actor.template):
            try:
                await runner.call(actor, "hold", request, timeout=1.0)
            except (RayActorError, asyncio.TimeoutError, AttributeError) as err:  # an older actor cannot
                log("warn", "the frontend is not paused while NATS comes back", error=repr(err)[:200])


def sends_over_nats(template: Dict[str, Any]) -> bool:
    """Whether a process is a frontend whose requests NATS carries."""
    argv = template.get("argv") or []
    return "dynamo.frontend" in argv and ("--request-plane", "nats") in zip(argv, argv[1:])


async def until_settled(request: Dict[str, Any]) -> None:
    """Until NATS answers and the workers have had their time, no longer than LIMIT."""
    try:
        await asyncio.wait_for(_answered(request["host"], request["port"]), LIMIT - request["settle"])
    except asyncio.TimeoutError:
        return
    await asyncio.sleep(request["settle"])


async def _answered(host: str, port: int) -> None:
    while True:
        try:
            if (await httpget.greeting(host, port)).startswith(b"INFO "):
                return
        except (OSError, asyncio.TimeoutError):
            pass
        await asyncio.sleep(POLL)
