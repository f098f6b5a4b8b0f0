"""How long a test waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """As asyncio.timeout, which Python 3.10 lacks."""
    task, late = asyncio.current_task(), False

    def end() -> None:
        nonlocal late
        late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, end)
    try:
        yield
    except asyncio.CancelledError:
        if late:
            raise asyncio.TimeoutError(f"not within {seconds} s") from None
        raise
    finally:
        timer.cancel()
