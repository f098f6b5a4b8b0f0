"""A bound of time that loses no cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def in_time(work: Awaitable[T], seconds: float | None) -> T:
    """What work returns or raises, if it ends within so many seconds (None: whenever that
    is); asyncio.TimeoutError otherwise. Up to Python 3.11 asyncio.wait_for swallows a cancellation that comes just as
    the work ends, and a loop around it goes on for ever."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            task.cancel()
            await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()


__all__ = ["in_time"]
