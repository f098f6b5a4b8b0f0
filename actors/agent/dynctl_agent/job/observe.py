"""Writes what is true into the bucket: by compare-and-swap, at once, coalesced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..common.log import log, timestamp
from .bus import Bus, Conflict
from .retry import Backoff

# The pauses before a value that was not written is tried again, in seconds.
RETRY, RETRY_MAX = 0.2, 2.0


class Writer:
    """Keeps one key equal to what render() returns; None deletes the key."""

    def __init__(
        self,
        bus: Bus,
        key: str,
        render: Callable[[], Mapping[str, object] | None],
        in_charge: Callable[[], Awaitable[None]],
    ) -> None:
        self._bus, self.key, self._render, self._in_charge = bus, key, render, in_charge
        self.revision = 0
        self._last: Mapping[str, object] | None = None
        self._round = 0  # one more each time all is forgotten
        self._dirty = self._closed = False
        self._task: asyncio.Task[None] | None = None

    def mark(self) -> None:
        """Something has changed."""
        self._dirty = True
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._write_all())

    def again(self, revision: int) -> None:
        """The bucket has lost what was written; the key has that revision now."""
        self._round += 1
        self._last, self.revision = None, revision
        self.mark()

    async def check(self) -> None:
        """Write again if the key is not what was written: somebody may have deleted it."""
        known = self.revision
        _, revision = await self._read_revision()
        if revision != known == self.revision and not self._closed:
            log("warn", "the key is not what was written; it is written again", key=self.key)
            self.again(revision)

    def close(self) -> None:
        """Leave the key to another writer."""
        self._closed = True

    async def flush(self) -> None:
        """Until what is true now is written."""
        self.mark()
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _write_all(self) -> None:
        backoff = Backoff(RETRY, RETRY_MAX)
        while self._dirty and not self._closed:
            self._dirty, begun = False, self._round
            value = self._render()
            if value is not None and value == self._last:
                continue
            try:
                await self._write(value)
                if begun == self._round:
                    self._last = value
            except Conflict:
                self._dirty = True
                await self._in_charge()
                _, self.revision = await self._read_revision()
            except asyncio.CancelledError:
                raise
            except Exception as err:  # NATS is away, or slow: what is true is written when it is back
                self._dirty = True
                await backoff.failed("not written yet", err, key=self.key)

    async def _write(self, value: Mapping[str, object] | None) -> None:
        if value is not None:
            stamped = {**value, "sentAt": timestamp(time.time())}
            self.revision = await self._bus.write(self.key, stamped, self.revision)
        elif self.revision:
            await self._bus.delete(self.key, self.revision)
            _, self.revision = await self._read_revision()

    async def _read_revision(self) -> tuple[dict[str, Any] | None, int]:
        backoff = Backoff(RETRY, RETRY_MAX)
        while True:
            try:
                return await self._bus.read(self.key)
            except Exception as err:
                await backoff.failed("not read yet", err, key=self.key)
