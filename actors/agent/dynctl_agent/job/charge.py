"""Who is in charge: the key `agent`, which is also the heartbeat."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from .. import PROTOCOL, PROTOCOL_OLDEST, VERSION
from ..common.deadline import in_time
from ..common.log import log
from . import values
from .bus import Bus, Conflict
from .config import Config
from .observed import Aside, Heartbeat
from .retry import persist

KEY = "agent"
EVERY = 1.0
CLOCK_EVERY = 30.0
OLD = 2.0


class Superseded(Exception):
    """Another agent is in charge; its argument is why."""


class Charge:
    """Takes the key, rewrites it every second, and ends when somebody else has it."""

    def __init__(self, config: Config, bus: Bus, session: str, node_ip: str) -> None:
        self._config, self._bus, self._session, self._node_ip = config, bus, session, node_ip
        self.incarnation = 0
        self.epoch = config.epoch
        self.synced = False
        self.autoscaling = False
        self.more: Callable[[], Aside] = Aside  # what else the heartbeat says
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._revision = 0
        self._clock_at = -CLOCK_EVERY
        self._beat_at = 0.0
        self._kicked = asyncio.Event()
        # The bucket has lost what was reported: all of it is to be written again.
        self.emptied = asyncio.Event()
        # Taken for a read or a write of the key, so that an answer is not judged by a
        # revision that is newer than it.
        self._using = asyncio.Lock()

    async def take(self, above: int = 0, newest: int | None = None) -> None:
        """Take the key with an incarnation above all that were seen, however long it takes
        until NATS lets it be written. Raises Superseded where another one has it that is newer
        than the newest whose place is to be taken (None: it is taken from whomever)."""
        await persist("nobody can take charge yet", lambda: self._take(above, newest))

    async def succeed(self, predecessor: int, epoch: int, silent_since: int = 0) -> None:
        """Take the key from that incarnation alone (0: from nobody), in one try, by the order
        of a reconciler of that epoch; if it is given up for its silence, only if that revision
        is still its last heartbeat. Raises Superseded where another one has it, it was heard
        again or there is a newer reconciler, Conflict where somebody is faster, and what NATS
        raises: then the key may have been taken, and the next try finds that."""
        async with self._using:
            value, revision = await self._bus.read(KEY)
            found, newest = int((value or {}).get("incarnation") or 0), int((value or {}).get("epoch") or 0)
            if value and self._is_mine(value) and found == self.incarnation:
                self._revision = revision
                return
            if found != predecessor or isinstance(value, values.Garbage):
                raise Superseded(f"incarnation {found} is in charge, not {predecessor}")
            if silent_since not in (0, revision):
                raise Superseded(f"incarnation {found} is heard again")
            if newest > epoch:
                raise Superseded(f"the order is of epoch {epoch}, and there is {newest}")
            await self._write_over(value, revision, 0)

    async def _take(self, above: int, newest: int | None) -> None:
        while True:
            async with self._using:
                value, revision = await self._bus.read(KEY)
                if value and value["incarnation"] > values.MAX_COUNTER - values.MAX_STEP:
                    value = values.Garbage()  # there has to be something left to count with
                if isinstance(value, values.Garbage):
                    above = max(above, await self._reported())
                if value and newest is not None:
                    self._keep_to(newest, value)
                try:
                    await self._write_over(value, revision, above)
                    return
                except Conflict:
                    continue

    def _keep_to(self, newest: int, value: dict[str, Any]) -> None:
        """Raises Superseded where the key is that of an agent whose place is not to be taken,
        be it that this one had the key, whose answer was lost, and has lost it since."""
        found = int(value.get("incarnation") or 0)
        mine = found == self.incarnation and self._is_mine(value)
        if not mine and (found > newest or found > self.incarnation > 0):
            raise Superseded(f"incarnation {found} is in charge, not {newest}")

    async def _write_over(self, value: dict[str, Any] | None, revision: int, above: int) -> None:
        value, before = value or {}, self.incarnation
        self.incarnation = max(int(value.get("incarnation") or 0), above, self._config.incarnation - 1) + 1
        self.epoch = max(self.epoch, int(value.get("epoch") or 0))
        try:
            self._revision = await self._bus.write(KEY, self._value(), revision)
        except Conflict:
            self.incarnation = before  # of any other error nobody knows whether it was written
            raise

    async def _reported(self) -> int:
        """The highest incarnation that has reported something."""
        highest = 0
        for key in await self._bus.keys():
            value, _ = await self._bus.read(key)
            incarnation = (value or {}).get("incarnation")
            if key != KEY and values.counter(incarnation) and incarnation <= values.MAX_COUNTER - values.MAX_STEP:
                highest = max(highest, incarnation)
        return highest

    def saw_epoch(self, epoch: int) -> None:
        """Remember the highest fencing epoch, and report it at once."""
        if epoch > self.epoch:
            self.epoch = epoch
            self.kick()

    def kick(self) -> None:
        """Write the key now."""
        self._kicked.set()

    async def confirm(self) -> None:
        """Check if the last heartbeat is old: a process that was paused must not act
        before it knows what it has missed. Raises Superseded."""
        if time.monotonic() - self._beat_at > OLD:
            await self.check()

    async def check(self) -> None:
        """Raises Superseded if another agent has the key; waits while NATS is away."""
        while True:
            try:
                async with self._using:
                    value, revision = await self._bus.read(KEY)
                    self._judge(value, revision)
                return
            except Superseded:
                raise
            except Exception as err:
                log("warn", "cannot read who is in charge", error=repr(err))
                await asyncio.sleep(0.2)

    async def beat(self) -> None:
        """Rewrite the key for ever."""
        while True:
            await self._beat_once()
            try:
                await in_time(self._kicked.wait(), EVERY)
            except asyncio.TimeoutError:
                pass
            self._kicked.clear()

    async def _beat_once(self) -> None:
        written = time.time()
        try:
            async with self._using:
                self._revision = await self._bus.write(KEY, self._value(), self._revision)
            self._beat_at = time.monotonic()
            if time.monotonic() - self._clock_at > CLOCK_EVERY:
                await self._bus.learn_clock(self._revision, (written + time.time()) / 2)
                self._clock_at = time.monotonic()
        except Conflict:
            await self.check()
        except Exception as err:  # NATS is away; the units go on
            log("warn", "no heartbeat", error=repr(err))
            await asyncio.sleep(0.1)

    def _judge(self, value: dict[str, Any] | None, revision: int) -> None:
        if isinstance(value, values.Garbage) or (value and not self._possible(value)):
            # No agent wrote it; whoever did, is not in charge by it. It is written over.
            log("warn", "somebody wrote over the agent's key; it is written again", revision=revision)
            self._revision = revision
            self.kick()
            return
        theirs = int((value or {}).get("incarnation") or 0)
        mine = value is not None and self._is_mine(value)
        if theirs > self.incarnation or (theirs == self.incarnation and not mine):
            reason = f"incarnation {theirs} is in charge"
            if not self.lost.done():
                self.lost.set_result(reason)
            raise Superseded(reason)
        if theirs < self.incarnation or revision < self._revision:
            # Absent, or older than what was written: the bucket was recreated, or put back.
            self.synced = False
            self.emptied.set()
            self.kick()
        # Otherwise it is ours, and only the answer was lost.
        self._revision = revision

    def _is_mine(self, value: dict[str, Any]) -> bool:
        return (value.get("nodeIp"), value.get("pid")) == (self._node_ip, os.getpid())

    def _possible(self, value: dict[str, Any]) -> bool:
        """Whether its counters follow ours."""
        epoch = value.get("epoch") or 0
        return values.counter(value["incarnation"], self.incarnation) and values.counter(epoch, self.epoch)

    def _value(self) -> Heartbeat:
        return {
            "incarnation": self.incarnation,
            "storeId": self._config.store_id,
            "session": self._session,
            "synced": self.synced,
            "asks": True,
            "protocol": {"newest": PROTOCOL, "oldest": PROTOCOL_OLDEST},
            "epoch": self.epoch,
            "autoscaling": self.autoscaling,
            "version": VERSION,
            "nodeIp": self._node_ip,
            "pid": os.getpid(),
            "job": self._config.job,
            **self.more(),
        }
