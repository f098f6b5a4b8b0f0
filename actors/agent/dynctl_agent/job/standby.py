"""An agent that waits beside the one in charge: Ray is connected, NATS too, and nothing is
done but to rehearse. It takes that one's place when the reconciler orders it (docs/protocol.md, "The
standby"): at once, or in case that its process ends, which is seen here first."""

from __future__ import annotations

import asyncio
import os
from typing import Any, TypedDict

from ..common.deadline import in_time
from ..common.log import log
from . import values
from .bus import Bus, Conflict
from .charge import KEY, Charge, Superseded
from .rehearsal import Rehearsal
from .retry import TROUBLE, persist
from .world import World

SUBJECT = "dynctl.agent.standby"
# An order is renewed before it has run out; one that stands for longer is none of a
# reconciler's.
LONGEST = 10.0


class Order(TypedDict):
    """What the reconciler asks of a standby."""

    incarnation: int  # whose place is to be taken; 0: nobody is in charge
    revision: int  # of its last heartbeat, if it is given up for its silence; 0: it is not
    epoch: int  # of the reconciler
    now: bool  # False: only if that agent's process ends
    within: float  # for how many seconds that may be


class Answer(TypedDict, total=False):
    """What a standby says to an order; nothing: it waits on."""

    incarnation: int  # it is in charge, as this one
    watches: bool  # it sees the process of the agent in charge
    refused: str  # why it does not carry the order out
    nodeIp: str  # where it runs
    pid: int
    memory: int  # bytes of its process in memory, those included that it shares


class Watch:
    """The process of the agent in charge, from when it was seen alive to its end."""

    def __init__(self, pid: int, incarnation: int) -> None:
        self.pid, self.incarnation = pid, incarnation
        self.ended = asyncio.Event()
        self._descriptor = os.pidfd_open(pid)
        try:
            # The number may be another process's by now; once it is open, it stays that one's.
            if not _is_agent(pid):
                raise ProcessLookupError(pid)
            asyncio.get_running_loop().add_reader(self._descriptor, self._end)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _end(self) -> None:
        self.close()
        self.ended.set()

    def close(self) -> None:
        """Watch no more; to be repeated at will."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


def _is_agent(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return pid != os.getpid() and b"dynctl_agent" in f.read()
    except OSError:
        return False


def _memory() -> int:
    try:
        with open("/proc/self/statm", "rb") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Standby:
    """Waits until it is in charge."""

    def __init__(self, world: World, charge: Charge, session: str, node_ip: str) -> None:
        self._world, self._charge, self._session, self._node_ip = world, charge, session, node_ip
        self._bus: Bus = world.bus
        self._watch: Watch | None = None
        self._moved = asyncio.Event()
        self._taking = asyncio.Lock()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        """Until charge was taken. Raises Superseded when that can be no more."""
        await self._bus.follow(KEY, self._heard)
        value, _ = await self._bus.read(KEY)
        self._look(value or {})
        await self._world.answer(f"{SUBJECT}.{self._world.config.job}", self._answer)
        log("info", "standing by", job=self._world.config.job)
        rehearsal = asyncio.ensure_future(Rehearsal(self._world).run())
        try:
            await self._end
        finally:
            rehearsal.cancel()
            if self._watch is not None:
                self._watch.close()
        # What was written until now is read with all the rest.
        self._bus.touched.clear()

    async def _answer(self, data: bytes) -> Answer:
        try:
            raw = values.decode(data)
            order = Order(
                incarnation=int(raw["incarnation"]), revision=int(raw.get("revision") or 0), epoch=int(raw["epoch"]),
                now=bool(raw["now"]), within=min(float(raw["within"]), LONGEST),
            )
        except (ValueError, KeyError, TypeError) as err:
            return {"refused": f"no order: {err!r:.200}"}
        answer = await self.carry_out(order)
        return {**answer, "nodeIp": self._node_ip, "pid": os.getpid(), "memory": _memory()}

    async def carry_out(self, order: Order) -> Answer:
        """Take charge, if that is what the order comes to."""
        if not order["now"]:
            try:
                await in_time(self._ended(order["incarnation"]), order["within"])
            except asyncio.TimeoutError:
                watch = self._watch
                return {"watches": watch is not None and watch.incarnation == order["incarnation"]}
        async with self._taking:
            if not self._end.done():
                try:
                    await persist("nobody can take over yet", lambda: self._succeed(order), LONGEST)
                except (Superseded, Conflict, *TROUBLE) as err:
                    return {"refused": f"{err!r:.300}"}
                log("info", "taking over", predecessor=order["incarnation"], incarnation=self._charge.incarnation)
                self._end.set_result(None)
        return {"incarnation": self._charge.incarnation}

    async def _succeed(self, order: Order) -> None:
        await self._charge.succeed(order["incarnation"], order["epoch"], order["revision"])

    async def _ended(self, incarnation: int) -> None:
        while self._watch is None or self._watch.incarnation != incarnation:
            await self._moved.wait()
        await self._watch.ended.wait()

    def _heard(self, value: dict[str, Any]) -> None:
        if not self._end.done():
            self._look(value)

    def _look(self, value: dict[str, Any]) -> None:
        """See whom to watch, by the heartbeat of the one in charge."""
        if not value.get("incarnation"):
            return
        if value.get("session") != self._session:
            # The fleet has another Ray cluster, or this one's has been restarted.
            self._end.set_exception(Superseded(f"the agent in charge is of the Ray session {value.get('session')}"))
            return
        pid, incarnation = value.get("pid"), int(value["incarnation"])
        if not isinstance(pid, int) or value.get("nodeIp") != self._node_ip:
            return
        if self._watch is not None:
            if self._watch.pid == pid:
                self._watch.incarnation = incarnation
                return
            self._watch.close()
            self._watch = None
        try:
            self._watch = Watch(pid, incarnation)
        except (OSError, AttributeError):
            return  # it is in a container of its own, has ended, or Python has no os.pidfd_open here
        self._moved.set()
        self._moved = asyncio.Event()
