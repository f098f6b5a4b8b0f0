"""Whether a process is ready, which lease it has, and whether it hangs."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..common.deadline import in_time
from ..common.messages import UNKNOWN
from . import httpget
from .progress import Progress, Work

if TYPE_CHECKING:
    from ..common.template import ActorTemplate

# How often a starting process is asked: at once while the fast ones start, which others
# wait for (etcd and NATS take 50 ms), ever more seldom after that, so that what any takes
# is known to a twentieth.
FIRST_POLL, SLOWEST_POLL, PART = 0.02, 1.0, 20
# A worker logs an error for each 503 that it answers, which would bury the reason
# why it does not start. It tells its lease when it serves, so that is asked for
# first and health rarely until then.
PATIENCE = 5.0
TIMEOUT = 2.0
LAST_WORD = 0.5  # of a process that is about to be ended
WORKER_ID = re.compile(rb'worker_id="([0-9a-fA-F]{1,16})"')

# What Dynamo counts as under way at the endpoint that serves.
INFLIGHT = re.compile(rb'^dynamo_component_inflight_requests\{[^}]*dynamo_endpoint="generate"[^}]*\} ([0-9.e+]+)', re.M)

# A process that is slow to begin and not hung: it uses so much of a core at least.
# It has this many times as long as one that does nothing.
BUSY, BUSY_TIMES = 0.1, 6
DOUBLED = 5  # times at most is the limit of a first answer, once a failure in a row

# What a process says when it is asked how it is.
OK, BAD, SILENT = "ok", "bad", "silent"

HUNG = "Hung"
STARTUP_TIMEOUT = "StartupTimeout"
PORT_CONFLICT = "PortConflict"


def parse_lease(metrics: bytes) -> int:
    """The lease in the worker_id label (hex) as etcd's signed 64-bit integer; 0: none."""
    match = WORKER_ID.search(metrics)
    if match is None:
        return 0
    value = int(match[1], 16)
    return value - (1 << 64) if value >= 1 << 63 else value


def parse_inflight(metrics: bytes) -> int:
    """How many requests are under way, as a worker's metrics say; UNKNOWN without them."""
    counts = INFLIGHT.findall(metrics)
    return sum(int(float(c)) for c in counts) if counts else UNKNOWN


async def inflight(port: int, hosts: Sequence[str]) -> int:
    """Ask a worker how many requests are under way."""
    for host in hosts:
        try:
            status, body = await httpget.get(host, port, "/metrics", LAST_WORD)
        except (OSError, ValueError, EOFError, asyncio.TimeoutError):
            continue
        return parse_inflight(body) if status == 200 else UNKNOWN
    return UNKNOWN


def pause(elapsed: float) -> float:
    """Until a process that was executed so long ago is asked again."""
    return min(max(FIRST_POLL, elapsed / PART), SLOWEST_POLL)


class Monitor:
    """Watches one attempt and tells what it finds through its callbacks."""

    def __init__(
        self,
        template: ActorTemplate,
        ports: Mapping[str, int],
        hosts: Sequence[str],
        failures: int = 0,
    ) -> None:
        rule = template["health"]
        self._kind: str = rule.get("kind", "none")
        self._port: int = ports.get(rule.get("port", ""), 0)
        self._path: str = rule.get("path") or "/"
        self._tls: bool = bool(rule.get("tls"))
        self._wants_lease: bool = bool(rule.get("lease"))
        self._every: float = rule.get("every") or 0
        self._failures: int = rule.get("failures") or 0
        # A node that is too busy for the first limit must not make a loop of it.
        first = (rule.get("firstWithin") or 0) * 2 ** min(failures, DOUBLED)
        limits = [x for x in (first, template.get("startupTimeout")) if x]
        self._limit: float | None = min(limits) if limits else None
        # 127.0.0.1 first; a program that listens on one address only is asked there.
        self._hosts = hosts
        self._busy_limit = self._limit
        if first and self._limit:
            self._busy_limit = min([BUSY_TIMES * first, *(x for x in [template.get("startupTimeout")] if x)])
        # Seconds of CPU that the process has used so far.
        self.work: Callable[[], Work] = Work
        # Whether a process of the attempt listens on the port; None: nobody does.
        self.listens: Callable[[int], bool | None] = lambda port: True
        self._leased = asyncio.Event()
        self.on_ready: Callable[[], None] = lambda: None
        self.on_lease: Callable[[int], None] = lambda lease: None
        self.on_failure: Callable[[str], None] = lambda reason: None

    async def run(self) -> None:
        """Until cancelled, or until a failure has been told."""
        lease = asyncio.ensure_future(self._find_lease()) if self._wants_lease else None
        try:
            failure = await self._first_success()
            if failure:
                self.on_failure(failure)
                return
            self.on_ready()
            if self.watches:
                # A worker that answers 503 has a dead engine. What serves all workers is
                # ended for silence alone.
                await self._until((BAD, SILENT) if self._wants_lease else (SILENT,))
                self.on_failure(HUNG)
            elif lease is not None:
                await lease
        finally:
            if lease is not None:
                lease.cancel()

    @property
    def watches(self) -> bool:
        """Whether the process is asked after its first success."""
        return self._kind != "none" and self._every > 0 and self._failures > 0

    async def until_silent(self) -> None:
        """Until it has left as many questions in a row without any answer. One that
        finishes its work answers 503 or listens no more, and is left alone."""
        await self._until((SILENT,))

    async def _first_success(self) -> str:
        """Until it has answered well; else the reason why it will not."""
        start, used = time.monotonic(), self.work().cpu
        limit, looked = self._limit, start
        while True:
            elapsed = time.monotonic() - start
            left = TIMEOUT if limit is None else limit - elapsed
            if left <= 0:
                # On a busy machine it may be slow for want of a core: it counts what it
                # had, and is asked again as long as that grows.
                cpu = self.work().cpu
                if self._busy_limit is None or elapsed >= self._busy_limit or cpu - used < BUSY * (self._limit or 0):
                    return STARTUP_TIMEOUT
                used, limit = cpu, min(elapsed + (self._limit or 0), self._busy_limit)
                continue
            if self._wants_lease and not self._leased.is_set():
                await self._patience(min(PATIENCE, left))
            said = await self._ask(min(TIMEOUT, left))
            if said == OK or time.monotonic() - looked >= PATIENCE:
                looked = time.monotonic()
                if await self._is_strange():
                    return PORT_CONFLICT
            if said == OK:
                return ""
            await asyncio.sleep(pause(elapsed))

    async def _is_strange(self) -> bool:
        """Whether another program listens on the port, which has taken it since it was
        found to be free: what it says of itself is not this process's."""
        if self._kind == "none":
            return False
        return await asyncio.get_running_loop().run_in_executor(None, self.listens, self._port) is False

    async def _patience(self, seconds: float) -> None:
        try:
            await in_time(self._leased.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def _until(self, failures: Sequence[str]) -> None:
        failed, progress = 0, Progress(self.work)
        while True:
            asked = time.monotonic()
            said = await self._ask(TIMEOUT)
            if said == OK:
                progress.well()
            works = said == BAD and self._wants_lease and progress.made(await self._metrics())
            failed = failed + 1 if said in failures and not works else 0
            if failed >= self._failures:
                return
            await asyncio.sleep(max(0.0, asked + self._every - time.monotonic()))

    async def _find_lease(self) -> None:
        start = time.monotonic()
        while True:
            for host in self._hosts:
                try:
                    status, body = await httpget.get(host, self._port, "/metrics", TIMEOUT)
                except (OSError, ValueError, EOFError, asyncio.TimeoutError):
                    continue
                lease = parse_lease(body) if status == 200 else 0
                if lease and not await self._is_strange():
                    self.on_lease(lease)
                    self._leased.set()
                    return
                break
            await asyncio.sleep(pause(time.monotonic() - start))

    async def _metrics(self) -> bytes:
        for host in self._hosts:
            try:
                status, body = await httpget.get(host, self._port, "/metrics", TIMEOUT)
            except (OSError, ValueError, EOFError, asyncio.TimeoutError):
                continue
            return body if status == 200 else b""
        return b""

    async def _ask(self, timeout: float) -> str:
        if self._kind == "none":
            return OK
        for host in self._hosts:
            try:
                if self._kind == "nats":
                    return OK if (await httpget.greeting(host, self._port, timeout)).startswith(b"INFO ") else BAD
                status, _ = await httpget.get(host, self._port, self._path, timeout, self._tls)
                return OK if status == 200 else BAD
            except asyncio.TimeoutError:  # before OSError, which it is from Python 3.11 on
                return SILENT
            except (ValueError, EOFError):
                return BAD
            except OSError:
                continue  # nobody listens on this address
        return BAD
