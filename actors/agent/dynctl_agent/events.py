"""The facts that the agent publishes, as CloudEvents."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Dict, Optional, Set

from .bus import Bus
from .log import log, timestamp

RETRY = 0.5
GIVE_UP = 60.0


class Facts:
    """Publishes without being waited for: a fact never delays what it is about."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._incarnation = 0
        self._count = 0
        self._tasks: Set[asyncio.Task] = set()

    def begin(self, incarnation: int) -> None:
        """Name the incarnation in what follows."""
        self._incarnation = incarnation

    def tell(self, type_: str, data: Dict[str, Any], detail: Optional[Dict[str, Any]] = None) -> None:
        """data: server, unit, model, generation, causeId, reason, message."""
        self._count += 1
        server, unit = data.get("server") or "_cluster", data.get("unit") or data.get("server") or "_cluster"
        message_id = f"{type_}-{self._incarnation}-{server}-{unit}-{self._count}"
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
        task = asyncio.ensure_future(self._publish(subject, message_id, document))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait a moment for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    async def _publish(self, subject: str, message_id: str, document: Dict[str, Any]) -> None:
        start = time.monotonic()
        while time.monotonic() - start < GIVE_UP:
            try:
                await self._bus.publish(subject, message_id, document)
                return
            except Exception as err:  # any: the message id makes a repeat harmless
                last = err
                await asyncio.sleep(RETRY)
        log("warn", "a fact was dropped", subject=subject, error=repr(last))
