"""The Ray actor: one process of a unit, and all that is known about it.

It is detached: it outlives the driver that made it and serves the next one, which
learns everything from `describe`. Every call names the caller's store and
incarnation; within one store a lower incarnation than seen is refused with
{"stale": highest}, so that an agent that was paused and wakes does no harm.

All methods are coroutines on one event loop, which is also the thread that forks:
PR_SET_PDEATHSIG is about that thread, and it lives as long as the actor.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

import ray

from ..common.messages import UNKNOWN
from . import cause, drain, environ, logread, logs, oom, ownfile, ports, procfs, progress, retire
from .caches import Caches
from .health import PORT_CONFLICT, Monitor, inflight
from .process import Command, Process
from .reaper import Reaper
from .scratch import Leftovers

ROTATE_EVERY = 5.0
# What is left of the group of a process that ended by itself gets this long: its
# work is lost anyway, and the next attempt waits for its memory and its ports.
LEFTOVER_TERM = 1.0
STOP_TERM = 5.0
# Between the report that the lease of a process is to be revoked and its end: a
# revocation takes some 30 ms, on a busy machine ten times that, and nothing tells of it.
REVOCATION = 1.0


class UnitActor:
    """See the module. header: storeId, template (of the whole unit), actor (name),
    placement ({number, failures}), goals (the attempts asked for, by actor name),
    binDirs, cacheDir ("": none), origin (of the command). A caller names its own as caller["command"]."""

    def __init__(self, header: dict[str, Any]) -> None:
        self._store = header["storeId"]
        self._incarnation = 0
        self._name = header["actor"]
        self._unit_template: dict[str, Any] = header["template"]
        self._placement = header["placement"]
        self._goals: dict[str, dict[str, int]] = header["goals"]
        self._origin: dict[str, Any] = header.get("origin") or {}
        self._bin_dirs: list[str] = header.get("binDirs") or []
        self._created_at = time.time()
        # What the goals refer to; the unit's own template until there are newer ones.
        self._goal_template = self._unit_template
        self._reaper, self._holder = Reaper(), ports.Holder()
        self._process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        # The stop that was asked for first, told to whoever takes over meanwhile.
        self._stop: dict[str, Any] | None = None
        self._asked_to_end = 0.0  # since when, on the monotonic clock
        self._drain = (0, UNKNOWN)  # the mark of the log and the requests under way then
        self._failure = ""
        self._held: asyncio.Task[None] | None = None
        self._etcd = ""  # where the process registers
        self._monitor: Monitor | None = None
        self._given_up, self._given_up_at = 0, 0.0  # the lease of a process that is to be killed
        self._rotations = 0
        # Rotations, and processes that the kernel killed for memory, before the attempt.
        self._rotated_before, self._oom_kills = 0, 0
        context = ray.get_runtime_context()
        self._node = context.get_node_id()
        self._ip: str = ray.util.get_node_ip_address()
        worker: Any = ray._private.worker  # which declares its node as None
        self._session_dir: str = worker._global_node.get_session_dir_path()
        gpus = context.get_accelerator_ids().get("GPU") or []
        self._gpus = [str(g) for g in gpus]
        self._left = Leftovers(self._reaper, Caches(header.get("cacheDir") or "", self._gpus))
        self._version = 0
        self._snap: dict[str, Any] = {
            "state": "Waiting", "childPid": 0, "attempt": 0, "failures": 0, "digest": "",
            "ports": {}, "uses": {}, "lease": 0, "startedAt": 0.0, "readyAt": 0.0,
            "exit": None, "lastExit": None, "previousLease": 0, "lost": 0, "hung": False,
        }

    # Calls of the agent.

    async def describe(self, caller: dict[str, Any]) -> dict[str, Any]:
        """Everything, at once."""
        if caller["storeId"] == self._store:
            if caller["incarnation"] < self._incarnation:
                return {"stale": self._incarnation}
            self._admit(caller)
        return {
            "storeId": self._store, "actor": self._name, "template": self._unit_template,
            "goalTemplate": self._goal_template, "placement": self._placement,
            "goals": self._goals, "createdAt": self._created_at, "node": self._node, "ip": self._ip,
            "pid": os.getpid(), "gpus": self._gpus, "snapshot": self._snapshot(), "stopping": self._stop,
            "origin": self._origin,
        }

    async def wait(self, caller: dict[str, Any], seen: int) -> dict[str, Any]:
        """The state once it is another than the one of version seen."""
        while True:
            if not self._admit(caller):
                return {"stale": self._incarnation}
            if self._version != seen:
                return self._snapshot()
            await self._changed.wait()

    async def aim(self, caller: dict[str, Any], template: dict[str, Any], goals: dict[str, Any]) -> dict[str, Any]:
        """Remember what is to be executed, for an agent that takes over meanwhile."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        self._goal_template, self._goals = template, goals
        self._origin = caller.get("command") or self._origin
        return self._snapshot()

    async def find_ports(
        self, caller: dict[str, Any], rules: list[dict[str, Any]], taken: list[int], previous: dict[str, int]
    ) -> dict[str, Any]:
        """Find the ports of the next attempt and record them."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        if self._process is not None:
            return self._snapshot()
        known = {**previous, **self._snap["ports"]}
        try:
            found = self._holder.assign(rules, frozenset(taken), known)
        except ports.PortConflict as err:
            return {"conflict": str(err)}
        self._change(ports=found)
        return self._snapshot()

    async def execute(self, caller: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """Execute an attempt. request: template (of the unit), goals, attempt ({number,
        failures}), resolved ({placeholder: value}), uses, previousLease and lastExit (of an
        actor before this one), failure ({reason, message}: the attempt has failed before it
        could be executed). An attempt that is not higher than the last one changes
        nothing."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        async with self._lock:
            if self._stop is not None or self._snap["attempt"] >= request["attempt"]["number"]:
                return self._snapshot()
            await self._end_process(self._grace())
            self._origin = caller.get("command") or self._origin
            self._execute(request)
        return self._snapshot()

    async def terminate(self, caller: dict[str, Any], grace: float) -> dict[str, Any]:
        """End the process gracefully, to be executed anew."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        async with self._lock:
            await self._end_process(grace)
        return self._snapshot()

    async def hold(self, caller: dict[str, Any], limit: float) -> dict[str, Any]:
        """Pause a process that runs until it is released, no longer than limit seconds."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        if self._process is not None and not self._asked_to_end and self._snap["state"] == "Running":
            self._held = asyncio.ensure_future(self._pause(self._process, limit))
            self._tasks.append(self._held)
            await asyncio.sleep(0)  # it has begun
        return self._snapshot()

    async def release(self, caller: dict[str, Any]) -> dict[str, Any]:
        """Let a process that is held go on."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        if self._held is not None:
            self._held.cancel()
        return self._snapshot()

    async def stop(self, caller: dict[str, Any], grace: float) -> dict[str, Any]:
        """End the process gracefully, for good. Agents of another store may ask: a sweep is
        not bound to the store. caller["command"] says what asks for it, for a later agent."""
        if not self._admit(caller) and caller["storeId"] == self._store:
            return {"stale": self._incarnation}
        if self._stop is None:
            self._stop = {
                "storeId": caller["storeId"], "gracePeriod": grace, "at": time.time(), **(caller.get("command") or {}),
            }
        async with self._lock:
            await self._end_process(grace, self._stop.get("retires", False))
            self._holder.keep(())
            self._change(state="Stopping")
        return self._snapshot()

    async def clean(self, caller: dict[str, Any]) -> dict[str, Any]:
        """Remove the unit's runtime directory on this node: all but logs, and data
        that is to be kept."""
        if not self._admit(caller) and caller["storeId"] == self._store:
            return {"stale": self._incarnation}
        directory, _ = self._paths()
        keep = any(a.get("keepData") for a in self._unit_template["actors"])
        await asyncio.get_running_loop().run_in_executor(None, remove_directory, directory, keep)
        return {}

    async def read_log(self, caller: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """A piece of the process's log. request: previous (the log before), lines (to
        begin with), and later what the last answer said: attempt, rotations, offset,
        file. On the loop, so that no attempt begins meanwhile."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        log = logread.Log(self._paths()[1], self._snap["attempt"], self._rotations)
        at = logread.position(request)
        try:
            if request.get("previous"):
                return logread.previous(log, at, request["lines"])
            return logread.read(log, at) if at else logread.first(log, request["lines"])
        except ownfile.UnsafePath as err:
            return {"error": {"reason": "UnsafePath", "message": str(err)}}

    # The process.

    def _execute(self, request: dict[str, Any]) -> None:
        self._unit_template = self._goal_template = request["template"]
        template, attempt = self._template(), request["attempt"]
        self._goals = request["goals"]
        self._failure, self._asked_to_end, self._monitor = "", 0.0, None
        self._given_up, self._given_up_at = 0, 0.0
        self._change(
            attempt=attempt["number"], failures=attempt["failures"], digest=template.get("digest", ""),
            uses=request["uses"], lease=0, previousLease=self._snap["previousLease"] or request["previousLease"],
            startedAt=time.time(), readyAt=0.0, exit=None, lost=0, hung=False,
            lastExit=self._snap["exit"] or self._snap["lastExit"] or request.get("lastExit"),
        )
        self._rotated_before, self._oom_kills = self._rotations, oom.kills()
        failed = request.get("failure")
        if failed is None:
            try:
                process = self._process = self._spawn(template, request["resolved"])
            except (environ.ExecError, OSError) as err:
                failed = {"reason": "ExecFailed", "message": f"{template['label']}: {err}"}
            else:
                self._watch(process, template, attempt["failures"])
                return
        self._exited(127, failed["reason"], failed["message"], cause.Cause(cause.clip(failed["message"]), ""))

    def _watch(self, process: Process, template: dict[str, Any], failures: int) -> None:
        self._change(state="Starting", childPid=process.pid)
        self._tasks = [
            asyncio.ensure_future(self._watch_exit(process)),
            asyncio.ensure_future(self._rotate()),
            asyncio.ensure_future(self._left.watch(process.pid)),
        ]
        if process.exited.done():
            return
        monitor = self._monitor = Monitor(template, self._snap["ports"], ["127.0.0.1", self._ip], failures)
        monitor.work = lambda: progress.work(process.pid)
        monitor.listens = lambda port: procfs.listens(process.pid, port)
        monitor.on_ready = lambda: self._change(state="Running", readyAt=time.time())
        monitor.on_lease = lambda lease: self._change(lease=lease)
        monitor.on_failure = self._fail
        self._tasks.append(asyncio.ensure_future(monitor.run()))

    def _spawn(self, template: dict[str, Any], resolved: dict[str, str]) -> Process:
        directory, log_path = self._paths()
        ownfile.make_directory(directory)
        logs.keep_previous(log_path)
        values = {"{py}": sys.executable, "{RD}": directory, "{gpus}": ",".join(self._gpus), **resolved}
        own = self._left.prepare(template, directory, os.environ)
        env = environ.child_environment(environ.with_defaults(template, own), values, os.environ, self._bin_dirs)
        program, argv = environ.command_line(template["argv"], values, env["PATH"])
        self._etcd = env.get("ETCD_ENDPOINTS", "")
        return Process.spawn(Command(program, argv, env, log_path), self._reaper)

    async def _watch_exit(self, process: Process) -> None:
        code = await asyncio.shield(process.exited)
        self._cancel_watchers()
        if self._asked_to_end:
            return  # _end_process does the rest
        async with self._lock:
            if self._process is not process:
                return
            await self._end_group(process, 0 if self._failure else LEFTOVER_TERM)
            self._process = None
            reason = self._failure or ("Killed" if code < 0 else "Exited")
            text, why = await asyncio.get_running_loop().run_in_executor(None, self._last_words, code)
            self._exited(code, reason, text, why)

    def _last_words(self, code: int) -> tuple[str, cause.Cause | None]:
        """The end of the log, and the cause of the exit."""
        log = logs.plain(logs.whole_tail(self._paths()[1], logs.CAUSE_BYTES, self._rotations > self._rotated_before))
        if self._failure == PORT_CONFLICT:
            name = self._template()["health"]["port"]
            return log, cause.taken(name, self._snap["ports"][name])
        return log, cause.of_failure(log) if self._failure else cause.of_exit(code, log, oom.kills() > self._oom_kills)

    def _exited(self, code: int, reason: str, log: str, why: cause.Cause | None) -> None:
        now, ready = time.time(), self._snap["readyAt"]
        told = {"cause": why.text, "hint": why.hint} if why is not None else {}
        self._change(
            state="Exited",
            childPid=0,
            previousLease=self._snap["lease"] or self._given_up,
            lease=0,
            exit={
                "attempt": self._snap["attempt"],
                "code": code,
                "reason": reason,
                "logTail": logs.told(log, cause.heading(why)),
                "at": now,
                "readyFor": now - ready if ready else 0.0,
                **told,
            },
        )

    def _fail(self, reason: str) -> None:
        """End a process that hangs or does not come up."""
        if self._process is not None and not self._asked_to_end:
            self._failure = reason
            self._tasks.append(asyncio.ensure_future(self._kill(self._process)))

    async def _kill(self, process: Process) -> None:
        """SIGKILL, for a stopped process hears nothing else. Its lease is reported as that
        of an attempt that has ended before, so that requests do not go to it any more
        when those on it break."""
        if self._snap["lease"]:
            self._given_up, self._given_up_at = self._snap["lease"], time.monotonic()
            self._change(lease=0, previousLease=self._given_up)
        if self._given_up:
            await asyncio.wait([process.exited], timeout=max(0.0, self._given_up_at + REVOCATION - time.monotonic()))
        process.signal_group(signal.SIGKILL)

    async def _end_process(self, grace: float, retires: bool = False) -> None:
        """Graceful, and final for the process: no exit is recorded, for it was asked for.
        One that was told to end before is not told again: a second SIGTERM cuts short
        what Dynamo finishes, and its grace period has begun."""
        process = self._process
        if process is None:
            return
        if not self._asked_to_end:
            self._asked_to_end, self._drain = time.monotonic(), (0, UNKNOWN)
            self._cancel_watchers()
            self._change(state="Stopping")
            if retires and not self._failure:
                await self._retire(process, grace)
            if not self._failure:
                await self._finish(process, grace)
            # Told to end, it closes the port on which it could be asked.
            self._drain = drain.mark(self._paths()[1]), await self._under_way()
            if not self._failure:
                process.signal(signal.SIGTERM)
        hung = bool(self._failure) or not await self._drained(process, grace)
        if hung:
            await self._kill(process)
        lost = 0 if hung or process.exited.done() else self._unfinished()
        await self._end_group(process, 0 if hung else STOP_TERM)
        self._process = None
        lease = self._snap["lease"] or self._given_up
        self._change(state="Waiting", childPid=0, previousLease=lease, lease=0, lost=lost, hung=hung)

    async def _end_group(self, process: Process, term: float) -> None:
        """End what is left of a process's group, and clear what it has left."""
        await self._left.look_again(process.pid)
        if await process.end_group(term):
            await self._left.clear()

    async def _retire(self, process: Process, grace: float) -> None:
        lease, etcd = self._snap["lease"], self._etcd
        if lease and etcd and grace > retire.SETTLE:
            settle = await retire.retire(etcd, lease, min(retire.PATIENCE, grace / 4))
            await asyncio.wait([process.exited], timeout=min(settle, grace / 2))

    async def _finish(self, process: Process, grace: float) -> None:
        """Have a worker of a real engine finish what it has before it is told to end."""
        lease, etcd = self._snap["lease"], self._etcd
        if lease and etcd and environ.engine(self._template()) and await retire.withdraw(etcd, lease):
            left = self._asked_to_end + grace - time.monotonic()
            await drain.finished(self._under_way, process.exited, left)

    async def _drained(self, process: Process, grace: float) -> bool:
        """Wait for the end of a process, no longer than its grace period; False once it
        hangs, which it may do for two minutes unnoticed otherwise."""
        waits: list[asyncio.Future[Any]] = [process.exited]
        if self._monitor is not None and self._monitor.watches and self._snap["readyAt"]:
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
        return bool(self._template()["health"].get("lease"))

    async def _under_way(self) -> int:
        """How many requests a worker has now; 0 for what is none."""
        if not self._serves():
            return 0
        rule = self._template()["health"]
        return await inflight(self._snap["ports"].get(rule.get("port", ""), 0), ["127.0.0.1", self._ip])

    def _unfinished(self) -> int:
        """How many requests a worker has not finished at the end of its drain."""
        since, before = self._drain
        return drain.unfinished(self._paths()[1], since, before) if self._serves() else 0

    @staticmethod
    async def _pause(process: Process, limit: float) -> None:
        process.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(limit)
        finally:
            process.signal(signal.SIGCONT)

    def _cancel_watchers(self) -> None:
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()

    async def _rotate(self) -> None:
        _, log_path = self._paths()
        while True:
            await asyncio.sleep(ROTATE_EVERY)
            if await asyncio.get_running_loop().run_in_executor(None, logs.rotate_if_large, log_path):
                self._rotations += 1

    # Bookkeeping.

    def _admit(self, caller: dict[str, Any]) -> bool:
        if caller["storeId"] != self._store or caller["incarnation"] < self._incarnation:
            return False
        if caller["incarnation"] > self._incarnation:
            self._incarnation = caller["incarnation"]
            self._wake()  # pending waits of older agents return
        return True

    def _template(self) -> dict[str, Any]:
        return next(a for a in self._unit_template["actors"] if a["name"] == self._name)

    def _grace(self) -> float:
        return float(self._template().get("terminationGracePeriod") or 0)

    def _paths(self) -> tuple[str, str]:
        t = self._unit_template
        return logs.runtime_paths(self._session_dir, t["server"], t["unit"], self._template()["label"])

    def _snapshot(self) -> dict[str, Any]:
        return {**self._snap, "version": self._version}

    def _change(self, **fields: Any) -> None:
        self._snap.update(fields)
        self._version += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def remove_directory(directory: str, keep_data: bool) -> None:
    """Remove a runtime directory but for *.log* and, where asked, *_data; one that is
    somebody else's stays."""
    try:
        keep = [n for n in ownfile.names(directory) if ".log" in n or (keep_data and n.endswith("_data"))]
        ownfile.remove_entries(directory, keep)
    except (FileNotFoundError, ownfile.UnsafePath):
        pass
