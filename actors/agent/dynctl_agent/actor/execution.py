"""One attempt: a process from its execution to the end of its group, and what watches it."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..common.messages import UNKNOWN
from . import cause, drain, environ, logs, oom, procfs, progress, retire
from .gateway import Gateway
from .health import PORT_CONFLICT, Monitor, inflight
from .process import Process
from .scratch import Leftovers
from .state import State

if TYPE_CHECKING:
    from ..common.messages import Exit
    from ..common.template import ActorTemplate

ROTATE_EVERY = 5.0
# What is left of the group of a process that ended by itself gets this long: its
# work is lost anyway, and the next attempt waits for its memory and its ports.
LEFTOVER_TERM = 1.0
STOP_TERM = 5.0
# Between the report that the lease of a process is to be revoked and its end: a
# revocation takes some 30 ms, on a busy machine ten times that, and nothing tells of it.
REVOCATION = 1.0


class Surroundings(NamedTuple):
    """What the attempts of one actor share."""

    state: State
    lock: asyncio.Lock  # held while an attempt begins or ends
    left: Leftovers
    log_path: str
    hosts: list[str]  # where the process may listen


class Execution:
    """See the module. One that could not be executed has no process; nor has one that has
    ended."""

    def __init__(self, template: ActorTemplate, around: Surroundings) -> None:
        self._template = template
        self._state, self._lock, self._left, self._log_path, self._hosts = around
        self.process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._monitor: Monitor | None = None
        self._asked_to_end = 0.0  # since when, on the monotonic clock
        self._drain = (0, UNKNOWN)  # the mark of the log and the requests under way then
        self._failure = ""
        self._pause: asyncio.Task[None] | None = None
        self._given_up, self._given_up_at = 0, 0.0  # the lease of a process that is to be killed
        # Rotations, and processes that the kernel killed for memory, before the attempt.
        self._rotated_before, self._oom_kills = self._state.rotations, oom.kills()

    # Its beginning.

    def watch(self, process: Process) -> None:
        """Follow the process that was executed until its end."""
        self.process = process
        self._state.change(state="Starting", childPid=process.pid)
        self._tasks = [
            asyncio.ensure_future(self._watch_exit(process)),
            asyncio.ensure_future(self._rotate()),
            asyncio.ensure_future(self._left.watch(process.pid)),
        ]
        if process.exited.done():
            return
        now = self._state.now
        monitor = self._monitor = Monitor(self._template, now["ports"], self._hosts, now["failures"])
        monitor.work = lambda: progress.work(process.pid)
        monitor.listens = lambda port: procfs.listens(process.pid, port)
        monitor.on_ready = lambda: self._state.change(state="Running", readyAt=time.time())
        monitor.on_lease = lambda lease: self._state.change(lease=lease)
        monitor.on_failure = self._fail
        self._tasks.append(asyncio.ensure_future(monitor.run()))

    def not_executed(self, reason: str, message: str) -> None:
        """There is no process, and will be none."""
        self._exited(127, reason, message, cause.Cause(cause.clip(message), ""))

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_EVERY)
            if await asyncio.get_running_loop().run_in_executor(None, logs.rotate_if_large, self._log_path):
                self._state.rotations += 1

    # Its end, by itself or because it fails.

    async def _watch_exit(self, process: Process) -> None:
        code = await asyncio.shield(process.exited)
        self._cancel_watchers()
        if self._asked_to_end:
            return  # end does the rest
        async with self._lock:
            if self.process is None:
                return
            await self._end_group(process, 0 if self._failure else LEFTOVER_TERM)
            self.process = None
            reason = self._failure or ("Killed" if code < 0 else "Exited")
            text, why = await asyncio.get_running_loop().run_in_executor(None, self._last_words, code)
            self._exited(code, reason, text, why)

    def _last_words(self, code: int) -> tuple[str, cause.Cause | None]:
        """The end of the log, and the cause of the exit."""
        rotated = self._state.rotations > self._rotated_before
        log = logs.plain(logs.whole_tail(self._log_path, logs.CAUSE_BYTES, rotated))
        if self._failure == PORT_CONFLICT:
            name = self._template["health"]["port"]
            return log, cause.taken(name, self._state.now["ports"][name])
        return log, cause.of_failure(log) if self._failure else cause.of_exit(code, log, oom.kills() > self._oom_kills)

    def _exited(self, code: int, reason: str, log: str, why: cause.Cause | None) -> None:
        told = self._state.now
        now, ready = time.time(), told["readyAt"]
        end: Exit = {
            "attempt": told["attempt"],
            "code": code,
            "reason": reason,
            "logTail": logs.told(log, cause.heading(why)),
            "at": now,
            "readyFor": now - ready if ready else 0.0,
        }
        if why is not None:
            end["cause"], end["hint"] = why.text, why.hint
        self._state.change(
            state="Exited", childPid=0, previousLease=told["lease"] or self._given_up, lease=0, exit=end,
        )

    def _fail(self, reason: str) -> None:
        """End a process that hangs or does not come up."""
        if self.process is not None and not self._asked_to_end:
            self._failure = reason
            self._tasks.append(asyncio.ensure_future(self._kill(self.process)))

    async def _kill(self, process: Process) -> None:
        """SIGKILL, for a stopped process hears nothing else. Its lease is reported as that
        of an attempt that has ended before, so that requests do not go to it any more
        when those on it break."""
        if self._state.now["lease"]:
            self._given_up, self._given_up_at = self._state.now["lease"], time.monotonic()
            self._state.change(lease=0, previousLease=self._given_up)
        if self._given_up:
            await asyncio.wait([process.exited], timeout=max(0.0, self._given_up_at + REVOCATION - time.monotonic()))
        process.signal_group(signal.SIGKILL)

    # Its end, because somebody asks for it.

    async def end(self, grace: float, retires: bool = False) -> None:
        """Graceful, and final for the process: no exit is recorded, for it was asked for.
        One that was told to end before is not told again: a second SIGTERM cuts short
        what Dynamo finishes, and its grace period has begun."""
        process = self.process
        if process is None:
            return
        if not self._asked_to_end:
            await self._ask_to_end(process, grace, retires)
        hung = bool(self._failure) or not await self._drained(process, grace)
        if hung:
            await self._kill(process)
        lost = 0 if hung or process.exited.done() else self._unfinished()
        await self._end_group(process, 0 if hung else STOP_TERM)
        self.process = None
        lease = self._state.now["lease"] or self._given_up
        self._state.change(state="Waiting", childPid=0, previousLease=lease, lease=0, lost=lost, hung=hung)

    async def _ask_to_end(self, process: Process, grace: float, retires: bool) -> None:
        self._asked_to_end = time.monotonic()
        self._cancel_watchers()
        self._state.change(state="Stopping")
        if retires and not self._failure:
            await self._retire(process, grace)
        if not self._failure:
            await self._finish(process, grace)
        # Told to end, it closes the port on which it could be asked.
        self._drain = drain.mark(self._log_path), await self._under_way()
        if not self._failure:
            process.signal(signal.SIGTERM)

    async def _end_group(self, process: Process, term: float) -> None:
        """End what is left of a process's group, and clear what it has left."""
        await self._left.look_again(process.pid)
        if await process.end_group(term):
            await self._left.clear()

    async def _retire(self, process: Process, grace: float) -> None:
        lease, etcd = self._state.now["lease"], Gateway.of(process.env)
        if lease and etcd and grace > retire.SETTLE:
            settle = await retire.retire(etcd, lease, min(retire.PATIENCE, grace / 4))
            await asyncio.wait([process.exited], timeout=min(settle, grace / 2))

    async def _finish(self, process: Process, grace: float) -> None:
        """Have a worker of a real engine finish what it has before it is told to end."""
        lease, etcd = self._state.now["lease"], Gateway.of(process.env)
        if lease and etcd and environ.engine(self._template) and await retire.withdraw(etcd, lease):
            left = self._asked_to_end + grace - time.monotonic()
            await drain.finished(self._under_way, process.exited, left)

    async def _drained(self, process: Process, grace: float) -> bool:
        """Wait for the end of a process, no longer than its grace period; False once it
        hangs, which it may do for two minutes unnoticed otherwise."""
        waits: list[asyncio.Future[Any]] = [process.exited]
        if self._monitor is not None and self._monitor.watches and self._state.now["readyAt"]:
            waits.append(asyncio.ensure_future(self._monitor.until_silent()))
        left = self._asked_to_end + grace - time.monotonic()
        try:
            await asyncio.wait(waits, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            return process.exited.done() or not any(w.done() for w in waits)
        finally:
            for wait in waits[1:]:
                wait.cancel()

    def _serves(self) -> bool:
        """Whether the process is a worker's: what has requests to finish."""
        return bool(self._template["health"].get("lease"))

    async def _under_way(self) -> int:
        """How many requests a worker has now; 0 for what is none."""
        if not self._serves():
            return 0
        rule = self._template["health"]
        return await inflight(self._state.now["ports"].get(rule.get("port", ""), 0), self._hosts)

    def _unfinished(self) -> int:
        """How many requests a worker has not finished at the end of its drain."""
        since, before = self._drain
        return drain.unfinished(self._log_path, since, before) if self._serves() else 0

    # A pause.

    async def pause(self, limit: float) -> None:
        """Stop the process if it runs, until it is let go on, no longer than limit seconds."""
        if self.process is not None and not self._asked_to_end and self._state.now["state"] == "Running":
            self._pause = asyncio.ensure_future(_paused(self.process, limit))
            self._tasks.append(self._pause)
            await asyncio.sleep(0)  # it has begun

    def go_on(self) -> None:
        """End a pause."""
        if self._pause is not None:
            self._pause.cancel()

    def _cancel_watchers(self) -> None:
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()


async def _paused(process: Process, limit: float) -> None:
    process.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(limit)
    finally:
        process.signal(signal.SIGCONT)
