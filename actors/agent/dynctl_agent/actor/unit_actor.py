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
import sys
import time
from typing import TYPE_CHECKING, Any

import ray

from . import access, carried, environ, logread, logs, ownfile, ports
from .caches import Caches
from .execution import Execution, Surroundings
from .process import Command, Process
from .reaper import Reaper
from .scratch import Leftovers
from .state import State

if TYPE_CHECKING:
    from ..common.messages import (
        Access,
        Caller,
        Counts,
        Described,
        Failure,
        Goals,
        Header,
        LogPiece,
        LogRequest,
        NoPorts,
        Origin,
        Refusal,
        Request,
        Snapshot,
        Stale,
        Stopping,
    )
    from ..common.template import ActorTemplate, PortRule, UnitTemplate


class UnitActor:
    """See the module. What goes in and out is in common/messages.py."""

    def __init__(self, header: Header) -> None:
        self._store = header["storeId"]
        self._incarnation = 0
        self._name = header["actor"]
        self._unit_template: UnitTemplate = header["template"]
        self._placement: Counts = header["placement"]
        self._goals: Goals = header["goals"]
        self._origin: Origin = header.get("origin") or {}
        self._bin_dirs: list[str] = header.get("binDirs") or []
        self._programs = ""  # the package of those that the node may lack
        self._created_at = time.time()
        # What the goals refer to; the unit's own template until there are newer ones.
        self._goal_template = self._unit_template
        self._reaper, self._ports = Reaper(), ports.Reservation()
        self._state, self._lock = State(), asyncio.Lock()
        self._execution: Execution | None = None  # the last one
        # The stop that was asked for first, told to whoever takes over meanwhile.
        self._stop: Stopping | None = None
        context = ray.get_runtime_context()
        self._node = context.get_node_id()
        self._ip: str = ray.util.get_node_ip_address()
        worker: Any = ray._private.worker  # which declares its node as None
        self._session_dir: str = worker._global_node.get_session_dir_path()
        gpus = context.get_accelerator_ids().get("GPU") or []
        self._gpus = [str(g) for g in gpus]
        self._left = Leftovers(self._reaper, Caches(header.get("cacheDir") or "", self._gpus))
        self._access = access.Holder(self._ip)

    # Calls of the agent.

    async def describe(self, caller: Caller) -> Described | Stale:
        """Everything, at once."""
        if caller["storeId"] == self._store:
            if caller["incarnation"] < self._incarnation:
                return {"stale": self._incarnation}
            self._admit(caller)
        return {
            "storeId": self._store, "actor": self._name, "template": self._unit_template,
            "goalTemplate": self._goal_template, "placement": self._placement,
            "goals": self._goals, "createdAt": self._created_at, "node": self._node, "ip": self._ip,
            "pid": os.getpid(), "gpus": self._gpus, "snapshot": self._state.snapshot(), "stopping": self._stop,
            "origin": self._origin,
        }

    async def wait(self, caller: Caller, seen: int) -> Snapshot | Stale:
        """The state once it is another than the one of version seen."""
        while True:
            if not self._admit(caller):
                return {"stale": self._incarnation}
            if self._state.version != seen:
                return self._state.snapshot()
            await self._state.woken()

    async def aim(self, caller: Caller, template: UnitTemplate, goals: Goals) -> Snapshot | Stale:
        """Remember what is to be executed, for an agent that takes over meanwhile."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        self._goal_template, self._goals = template, goals
        self._origin = caller.get("command") or self._origin
        return self._state.snapshot()

    async def find_ports(
        self, caller: Caller, rules: list[PortRule], taken: list[int], previous: dict[str, int]
    ) -> Snapshot | Stale | NoPorts:
        """Find the ports of the next attempt and record them."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        if self._execution is not None and self._execution.process is not None:
            return self._state.snapshot()
        known = {**previous, **self._state.now["ports"]}
        try:
            found = self._ports.assign(rules, frozenset(taken), known)
        except ports.PortConflict as err:
            return {"conflict": str(err)}
        self._state.change(ports=found)
        return self._state.snapshot()

    async def execute(self, caller: Caller, request: Request) -> Snapshot | Stale:
        """Execute an attempt. One that is not higher than the last one changes nothing."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        async with self._lock:
            if self._stop is not None or self._state.now["attempt"] >= request["attempt"]["number"]:
                return self._state.snapshot()
            await self._end(self._grace())
            self._origin = caller.get("command") or self._origin
            self._unit_template = self._goal_template = request["template"]
            self._programs = request.get("programs") or ""
            template, failed = self._template(), request.get("failure")
            if failed is None:
                try:
                    template = await self._access.prepare(template, request, self._paths()[0], self._spawn_once)
                except (environ.ExecError, OSError, ValueError, KeyError) as err:
                    failed = {"reason": "ExecFailed", "message": f"{template['label']}: {err}"}
            self._execute(request, template, failed)
        return self._state.snapshot()

    async def terminate(self, caller: Caller, grace: float) -> Snapshot | Stale:
        """End the process gracefully; another attempt follows."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        async with self._lock:
            await self._end(grace)
        return self._state.snapshot()

    async def hold(self, caller: Caller, limit: float) -> Snapshot | Stale:
        """Pause a process that runs until `release`, no longer than limit seconds. Actors of
        earlier versions know a pause by these two names."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        if self._execution is not None:
            await self._execution.pause(limit)
        return self._state.snapshot()

    async def release(self, caller: Caller) -> Snapshot | Stale:
        """End the pause."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        if self._execution is not None:
            self._execution.go_on()
        return self._state.snapshot()

    async def stop(self, caller: Caller, grace: float) -> Snapshot | Stale:
        """End the process gracefully, for good. Agents of another store may ask: a sweep is
        not bound to the store. caller["command"] says what asks for it, for a later agent."""
        if not self._admit(caller) and caller["storeId"] == self._store:
            return {"stale": self._incarnation}
        if self._stop is None:
            self._stop = {
                "storeId": caller["storeId"], "gracePeriod": grace, "at": time.time(), **(caller.get("command") or {}),
            }
        async with self._lock:
            await self._end(grace, self._stop.get("retires", False))
            self._ports.release_all_but(())
            self._state.change(state="Stopping")
        return self._state.snapshot()

    async def clean(self, caller: Caller) -> dict[str, Any]:
        """Remove the unit's runtime directory on this node: all but logs, and data
        that is to be kept."""
        if not self._admit(caller) and caller["storeId"] == self._store:
            return {"stale": self._incarnation}
        directory, _ = self._paths()
        keep = any(a.get("keepData") for a in self._unit_template["actors"])
        await asyncio.get_running_loop().run_in_executor(None, remove_directory, directory, keep)
        return {}

    async def tell_access(self, caller: Caller) -> Access | Stale | dict[str, str]:
        """The credential of the service that this is, or that of etcd that the process was
        executed with; {} if there is none."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        return self._access.tell()

    async def read_log(self, caller: Caller, request: LogRequest) -> LogPiece | Refusal | Stale:
        """A piece of the process's log. On the loop, so that no attempt begins meanwhile."""
        if not self._admit(caller):
            return {"stale": self._incarnation}
        log = logread.Log(self._paths()[1], self._state.now["attempt"], self._state.rotations)
        at = logread.position(request)
        try:
            if request.get("previous"):
                return logread.previous(log, at, request["lines"])
            return logread.read(log, at) if at else logread.first(log, request["lines"])
        except ownfile.UnsafePath as err:
            return {"error": {"reason": "UnsafePath", "message": str(err)}}

    # The process.

    def _execute(self, request: Request, template: ActorTemplate, failed: Failure | None) -> None:
        self._goals, attempt = request["goals"], request["attempt"]
        before = self._state.now
        self._state.change(
            attempt=attempt["number"], failures=attempt["failures"], digest=template.get("digest", ""),
            uses=request["uses"], lease=0, previousLease=before["previousLease"] or request["previousLease"],
            startedAt=time.time(), readyAt=0.0, exit=None, lost=0, hung=False, access=self._access.ids,
            lastExit=before["exit"] or before["lastExit"] or request.get("lastExit"),
        )
        around = Surroundings(self._state, self._lock, self._left, self._paths()[1], self._access.hosts)
        self._execution = Execution(template, around)
        if failed is None:
            try:
                process = self._spawn(template, request["resolved"])
            except (environ.ExecError, OSError) as err:
                failed = {"reason": "ExecFailed", "message": f"{template['label']}: {err}"}
            else:
                self._execution.watch(process)
                return
        self._execution.not_executed(failed["reason"], failed["message"])

    def _spawn(self, template: ActorTemplate, resolved: dict[str, str]) -> Process:
        directory, log_path = self._paths()
        ownfile.make_directory(directory)
        logs.keep_previous(log_path)
        return Process.spawn(self._command(template, resolved), self._reaper)

    def _spawn_once(self, template: ActorTemplate, resolved: dict[str, str]) -> Process:
        """A process that comes before that of the attempt, and ends again."""
        return Process.spawn(self._command(template, resolved), self._reaper)

    def _command(self, template: ActorTemplate, resolved: dict[str, str]) -> Command:
        directory, log_path = self._paths()
        values = {"{py}": sys.executable, "{RD}": directory, "{gpus}": ",".join(self._gpus), **resolved}
        own = self._left.prepare(template, directory, os.environ)
        env = environ.child_environment(environ.with_defaults(template, own), values, os.environ, self._bin_dirs)
        path = env["PATH"]
        if self._unit_template["unit"] == "infra" and self._programs:
            path = carried.with_carried(template["argv"][0], path, self._programs, self._session_dir)
        program, argv = environ.command_line(template["argv"], values, path)
        self._access.executed_with(env)
        return Command(program, argv, env, log_path)

    async def _end(self, grace: float, retires: bool = False) -> None:
        """End the process that there is."""
        if self._execution is not None:
            await self._execution.end(grace, retires)

    # Bookkeeping.

    def _admit(self, caller: Caller) -> bool:
        if caller["storeId"] != self._store or caller["incarnation"] < self._incarnation:
            return False
        if caller["incarnation"] > self._incarnation:
            self._incarnation = caller["incarnation"]
            self._state.wake()  # pending waits of older agents return
        return True

    def _template(self) -> ActorTemplate:
        return next(a for a in self._unit_template["actors"] if a["name"] == self._name)

    def _grace(self) -> float:
        return float(self._template().get("terminationGracePeriod") or 0)

    def _paths(self) -> tuple[str, str]:
        t = self._unit_template
        return logs.runtime_paths(self._session_dir, t["server"], t["unit"], self._template()["label"])


def remove_directory(directory: str, keep_data: bool) -> None:
    """Remove a runtime directory but for *.log* and, where asked, *_data; one that is
    somebody else's stays."""
    try:
        keep = [n for n in ownfile.names(directory) if ".log" in n or (keep_data and n.endswith("_data"))]
        ownfile.remove_entries(directory, keep)
    except (FileNotFoundError, ownfile.UnsafePath):
        pass
