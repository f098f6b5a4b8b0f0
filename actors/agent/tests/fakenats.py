"""NATS in this process, for what takes minutes with the real one: a bucket that is
recreated, a store that refuses."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from dynctl_agent.job import values
from dynctl_agent.job.bus import Conflict
from dynctl_agent.job.config import Config
from nats.js.errors import APIError


class Nats:
    """The bucket and the streams."""

    def __init__(self) -> None:
        self.sequence = 0
        self.bucket: dict[str, tuple[dict[str, Any] | None, int]] = {}
        self.history: list[tuple[str, dict[str, Any] | None]] = []
        self.messages: list[Any] = []
        self.facts: list[dict[str, Any]] = []
        self.buses: list[FakeBus] = []
        self.away = False
        self.refusing = 0  # how many writes JetStream refuses from now on
        self.refused = 0
        self.deaf = False  # no consumer can be made
        self.withheld: list[Any] = []  # the answers to come
        self.reads: list[str] = []  # of which keys the value was read
        self.lists = 0  # how often all keys were asked for

    def get(self, key: str) -> dict[str, Any] | None:
        """The value of a key."""
        return self.bucket.get(key, (None, 0))[0]

    def recreated(self) -> None:
        """The bucket is deleted and made again."""
        self.bucket, self.history, self.sequence = {}, [], 0

    def put(self, key: str, value: Any, by: Any = None, heard: bool = True) -> int:
        """Write without looking; bytes are written as they are."""
        for bus in [b for b in self.buses if b is not by and heard]:
            bus.hear(key)
        self.sequence += 1
        self.bucket[key] = (value, self.sequence)
        self.history.append((key, value))
        return self.sequence


class FakeBus:
    """bus.Bus."""

    def __init__(self, nats: Nats) -> None:
        self._nats = nats
        self.reconnected = asyncio.Event()
        self.touched: set[str] = set()
        self.touch = asyncio.Event()
        self._loop = asyncio.get_event_loop()
        nats.buses.append(self)

    def hear(self, key: str) -> None:
        """Somebody else writes a key."""

        def heard() -> None:
            self.touched.add(key)
            self.touch.set()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._loop.call_soon(heard))

    def _there(self) -> None:
        if self._nats.away:
            raise OSError("NATS is away")

    def _takes(self) -> None:
        self._there()
        if self._nats.refusing:
            self._nats.refusing -= 1
            self._nats.refused += 1
            raise APIError(code=503, err_code=10023, description="insufficient resources")

    async def connect(self, config: Config) -> None:
        pass

    async def close(self) -> None:
        pass

    async def read(self, key: str) -> tuple[dict[str, Any] | None, int]:
        self._there()
        self._nats.reads.append(key)
        value, revision = self._nats.bucket.get(key, (None, 0))
        if value is None:
            return None, revision
        try:
            return values.read(key, value if isinstance(value, bytes) else json.dumps(value).encode()), revision
        except values.Unreadable:
            return values.Garbage(), revision

    async def write(self, key: str, value: dict[str, Any], revision: int) -> int:
        self._takes()
        if self._nats.bucket.get(key, (None, 0))[1] != revision:
            raise Conflict(key)
        return self._nats.put(key, value, self)

    async def delete(self, key: str, revision: int) -> None:
        self._takes()
        if self._nats.bucket.get(key, (None, 0))[1] != revision:
            raise Conflict(key)
        self._nats.put(key, None, self)

    async def keys(self) -> dict[str, int]:
        self._there()
        self._nats.lists += 1
        return {k: revision for k, (v, revision) in self._nats.bucket.items() if v is not None}

    async def learn_clock(self, revision: int, written: float) -> None:
        pass

    def server_time(self) -> float:
        return time.time()

    async def listen(self, subject: str, respond: Any) -> None:
        pass

    async def withheld(self, command_id: str) -> dict[str, Any] | None:
        return self._nats.withheld.pop(0) if self._nats.withheld else None

    async def subscribe(self, name: str, after: int) -> Any:
        self._takes()
        if self._nats.deaf:
            raise APIError(code=404, err_code=10059, description="stream not found")
        self._read = after or len(self._nats.messages)
        return self

    async def fetch(self, count: int, timeout: float) -> list[Any]:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._read < len(self._nats.messages):
                self._read += 1
                return [self._nats.messages[self._read - 1]]
            await asyncio.sleep(0.005)
        raise asyncio.TimeoutError

    async def publish(self, subject: str, message_id: str, document: dict[str, Any]) -> None:
        self._takes()
        if not any(f["id"] == message_id for f in self._nats.facts):
            self._nats.facts.append(document)
