"""The facts that the agent publishes, as CloudEvents."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..common.log import log, timestamp
from .bus import Bus
from .observed import Aside, FactData
from .retry import Backoff

# The pauses before a fact that was not stored is tried again, in seconds.
RETRY, RETRY_MAX = 0.5, 5.0
# How many facts may wait to be stored, and how much of them.
SPOOL = 4096
SPOOL_BYTES = 16 << 20
COMPLAIN_EVERY = 10.0


class Fact(NamedTuple):
    """One that waits."""

    subject: str
    message_id: str
    document: dict[str, Any]
    size: int


class Facts:
    """Publishes without being waited for: a fact never delays what it is about. Those
    that cannot be stored wait in memory, up to a bound; the rest is counted."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._incarnation = 0
        self._count = 0
        self._spool: deque[Fact] = deque()
        self._bytes = self._dropped = 0
        self._complained_at = -COMPLAIN_EVERY
        self._sender: asyncio.Task[None] | None = None

    def begin(self, incarnation: int) -> None:
        """Name the incarnation in what follows."""
        self._incarnation = incarnation

    def tell(
        self, type_: str, data: FactData, detail: Mapping[str, object] | None = None, once: str = ""
    ) -> None:
        """Publish a fact; detail is what this type says beside the rest. once: what names it
        among those of its type and unit, where another agent may tell the same: the stream
        keeps the first."""
        self._count += 1
        server, unit = data.get("server") or "_cluster", data.get("unit") or data.get("server") or "_cluster"
        message_id = f"{type_}-{self._incarnation}-{server}-{unit}-{self._count}"
        if once:
            message_id = f"{type_}-{server}-{unit}-{once}"
        subject = f"dynctl.events.{server}.{type_}.{unit}"
        body = {
            "server": "", "model": "", "unit": "", "generation": "", "specRevision": 0, "epoch": 0,
            "causeId": "", "reason": "", "message": "", **data,
        }
        if detail is not None:
            body["detail"] = detail
        document = {
            "specversion": "1.0", "id": message_id, "type": type_,
            "source": f"dynctl/agent/{self._incarnation}", "subject": unit,
            "time": timestamp(time.time()), "datacontenttype": "application/json", "data": body,
        }
        log("info", type_, **{k: v for k, v in body.items() if k != "detail" and v})
        self._record(Fact(subject, message_id, document, len(json.dumps(document))))

    def counts(self) -> Aside:
        """How many wait to be stored, and how many were given up since the start."""
        return {"factsSpooled": len(self._spool), "factsDropped": self._dropped}

    async def drain(self) -> None:
        """Wait a moment for what is not stored yet."""
        if self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender], timeout=2)

    def _record(self, fact: Fact) -> None:
        if len(self._spool) >= SPOOL or self._bytes + fact.size > SPOOL_BYTES:
            self._drop(f"more than {len(self._spool)} wait to be stored")
            return
        self._spool.append(fact)
        self._bytes += fact.size
        if self._sender is None or self._sender.done():
            self._sender = asyncio.ensure_future(self._send())

    def _drop(self, why: str) -> None:
        self._dropped += 1
        if time.monotonic() - self._complained_at > COMPLAIN_EVERY:
            self._complained_at = time.monotonic()
            log("error", "facts are dropped", reason=why, dropped=self._dropped)

    async def _send(self) -> None:
        """Store what waits, in order. The message id makes a repeat harmless."""
        backoff = Backoff(RETRY, RETRY_MAX)
        while self._spool:
            fact = self._spool[0]
            try:
                await self._bus.publish(fact.subject, fact.message_id, fact.document)
            except (ValueError, TypeError) as err:  # no repeat will store it
                self._drop(repr(err)[:300])
            except Exception as err:  # NATS is away, or has no room
                await backoff.failed("facts wait to be stored", err, waiting=len(self._spool))
                continue
            backoff.succeeded()
            self._spool.popleft()
            self._bytes -= fact.size
