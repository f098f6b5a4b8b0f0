"""How long a start waits for an actor. What hangs there before it has a process serves
nothing yet, so it is ended, and the reconciler decides what comes next, as after any death."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ..common.log import log
from ..common.messages import Answer, Described, Origin, Stale
from .live import LiveUnit
from .ray_api import RayActorError, ask
from .units import ActorView

# An actor whose group is placed is given up after so long (seconds) in which none came up on
# its node: Ray starts the processes of a node one after another. Twice as long each time,
# for where nothing is quick. Ray itself ends what a runtime environment takes after 600 s.
MAKING = 90.0
MAKING_WITH_ENV = 900.0
LOOK = 1.0
# What has a process is asked first whether it is there at all (seconds): it may serve, so it
# is not ended for its silence, and nothing is asked of it that it would do later.
PRESENT = 5.0
# A call may take as long as a process takes to end. An actor that for so long (seconds) does
# not even say what it is does not run.
SILENCE = 30.0


SILENT = "ActorSilent"


class Silent(Exception):
    """An actor answers nothing, and has a process that may serve: it is left alone."""


async def made(live: LiveUnit, actor: ActorView, handle: Any) -> Described | Stale:
    """What an actor says that Ray was just asked for. Raises RayActorError, also where Ray
    does not make it: its worker process hangs while it starts, or was never started."""
    limit = MAKING_WITH_ENV if actor.template.get("runtimeEnv") else MAKING
    limit *= 2.0 ** min(actor.unmade, 10)
    call: asyncio.Future[Described | Stale] = asyncio.ensure_future(ask(handle.describe.remote(live.world.caller())))
    since = time.monotonic()
    try:
        while not call.done():
            await asyncio.wait([call], timeout=LOOK)
            if live.unit.group.get("state") != "CREATED":
                since = time.monotonic()  # it waits for its group, which has a limit of its own
            elif not call.done() and idle(live, actor, since) > limit:
                actor.unmade += 1
                await _end(live, actor, handle, f"Ray did not make it within {limit:.0f} s of its group's placement")
        described = call.result()
    finally:
        call.cancel()
    actor.unmade = 0
    if "node" in described:
        live.world.made[described["node"]] = time.monotonic()
    return described


def idle(live: LiveUnit, actor: ActorView, since: float) -> float:
    """For how long (seconds) no actor has come up on the node of one, since then at most."""
    return time.monotonic() - max(since, live.world.made.get(live.unit.where(actor), 0.0))


async def present(live: LiveUnit, actor: ActorView) -> None:
    """Until an actor has answered anything. Raises Silent, RayActorError."""
    hello = actor.hello
    if hello is None or hello.done():
        hello = actor.hello = asyncio.ensure_future(live.call(actor, "describe"))
        hello.add_done_callback(lambda call: _heard(live, call))
    await asyncio.wait([hello], timeout=PRESENT)
    if not hello.done():
        raise _left_alone(actor, PRESENT)
    hello.result()


def _heard(live: LiveUnit, call: asyncio.Future[Answer]) -> None:
    """An actor answers again, or is dead: nothing waits for its answer any more."""
    _ = call.cancelled() or call.exception()  # which nobody else may be left to look at
    if live.unit.reason == SILENT:
        live.unit.reason = live.unit.message = ""
        live.changed()


def _left_alone(actor: ActorView, silence: float) -> Silent:
    return Silent(
        f"{actor.name} answered nothing for {silence:.0f} s; its process, pid {actor.snap['childPid']}, is left "
        "alone: it may serve. What was asked for comes once it answers; suspend the model to end it"
    )


async def answered(
    live: LiveUnit, actor: ActorView, method: str, *args: Any, command: Origin | None = None
) -> Answer:
    """LiveUnit.call, of an actor that is ended when it does not answer anything else either,
    unless it has a process. Raises Silent, RayActorError."""
    handle = actor.handle
    call = asyncio.ensure_future(live.call(actor, method, *args, command=command))
    try:
        while True:
            await asyncio.wait([call], timeout=SILENCE)
            if call.done():
                return call.result()
            try:
                await live.call(actor, "describe", timeout=SILENCE)
            except asyncio.TimeoutError:
                if actor.snap["childPid"]:
                    raise _left_alone(actor, 2 * SILENCE) from None
                await _end(live, actor, handle, f"its actor answered nothing for {2 * SILENCE:.0f} s")
    finally:
        call.cancel()


async def _end(live: LiveUnit, actor: ActorView, handle: Any, why: str) -> None:
    log("warn", "an actor is given up", actor=actor.name, reason=why)
    await live.world.ray.kill(handle)
    raise RayActorError(error_msg=f"{actor.name}: {why}; it was ended")
