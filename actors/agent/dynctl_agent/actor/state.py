"""What an actor tells of its process, and who waits for a change of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..common.messages import ProcessState, Snapshot


class State:
    """The snapshot with a version that every change counts up. The log's rotations are
    counted beside it, over all attempts."""

    def __init__(self) -> None:
        self.now: ProcessState = {
            "state": "Waiting", "childPid": 0, "attempt": 0, "failures": 0, "digest": "",
            "ports": {}, "uses": {}, "lease": 0, "startedAt": 0.0, "readyAt": 0.0,
            "exit": None, "lastExit": None, "previousLease": 0, "lost": 0, "hung": False,
        }
        self.version = 0
        self.rotations = 0
        self._changed = asyncio.Event()

    def snapshot(self) -> Snapshot:
        """What is told, as it is now."""
        return {**self.now, "version": self.version}

    def change(self, **fields: Any) -> None:
        """Set fields of the snapshot, and wake who waits."""
        self.now.update(fields)  # type: ignore[typeddict-item]
        self.version += 1
        self.wake()

    def wake(self) -> None:
        """Wake who waits; each looks for itself whether it has anything to tell."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def woken(self) -> None:
        """Until the next change."""
        await self._changed.wait()
