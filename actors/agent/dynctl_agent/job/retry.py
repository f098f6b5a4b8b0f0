"""What NATS does not take now is tried again: ever more seldom, and told without end, but
not each time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors

from ..common.log import log

COMPLAIN_EVERY = 10.0
# NATS is away or slow, or JetStream refuses (no room, too many requests). All errors of
# its API are of these.
TROUBLE = (OSError, asyncio.TimeoutError, nats.errors.Error)


class Backoff:
    """The pauses between tries of one thing: each twice the one before, up to a bound."""

    def __init__(self, first: float, last: float) -> None:
        self._first, self._last = first, last
        self._pause, self._complained_at = first, -COMPLAIN_EVERY

    async def failed(self, what: str, err: BaseException, **fields: Any) -> None:
        """Tell, unless that was told just now, and wait."""
        if time.monotonic() - self._complained_at > COMPLAIN_EVERY:
            self._complained_at = time.monotonic()
            log("warn", what, error=repr(err)[:300], retryIn=self._pause, **fields)
        pause, self._pause = self._pause, min(2 * self._pause, self._last)
        await asyncio.sleep(pause)

    def succeeded(self) -> None:
        """Begin with the first pause, and tell at once, when it fails again."""
        self._pause, self._complained_at = self._first, -COMPLAIN_EVERY


async def persist(what: str, call: Callable[[], Awaitable[Any]], patience: float = math.inf) -> Any:
    """The result of a call to NATS, within so many seconds of tries. Raises the last error
    once these are over, and at once what is no matter of NATS, a conflict too."""
    backoff, until = Backoff(0.2, 5.0), time.monotonic() + patience
    while True:
        try:
            return await call()
        except TROUBLE as err:
            if time.monotonic() > until:
                raise
            await backoff.failed(what, err)


__all__ = ["TROUBLE", "Backoff", "persist"]
