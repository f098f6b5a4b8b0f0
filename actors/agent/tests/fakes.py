"""Ray in this process, for what takes minutes with the real one: an actor that does not
answer. Actors are the real class, on the loop of the test, with processes that are not."""

from __future__ import annotations

import asyncio
import copy
import itertools
import shutil
import tempfile
import types
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

from dynctl_agent.actor import inventory
from dynctl_agent.actor import unit_actor as actor_module
from dynctl_agent.actor.unit_actor import UnitActor
from dynctl_agent.job.ray_api import RayActorError

METHODS = ("describe", "wait", "aim", "find_ports", "execute", "terminate", "stop", "clean", "read_log", "tell_access")
SESSION, IP, HEAD = "session_1", "127.0.0.1", "a" * 56


class FakeProcess:
    """It ends when a test says so, or by SIGKILL."""

    pids = itertools.count(900_000)

    def __init__(self) -> None:
        self.pid, self.env = next(self.pids), {}
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.signals: list[int] = []

    def end(self, code: int) -> None:
        """It has ended."""
        if not self.exited.done():
            self.exited.set_result(code)

    def signal(self, signum: int) -> None:
        """Process.signal."""
        self.signals.append(int(signum))

    def signal_group(self, signum: int) -> None:
        """Process.signal_group."""
        self.end(-int(signum))

    async def end_group(self, term: float, kill: float = 5.0) -> bool:
        """Process.end_group, of one that hears no SIGTERM and does not linger."""
        self.end(-9)
        return True


def stub_ray(node: str, ip: str, session_dir: str) -> Any:
    """What the actor asks of Ray."""
    context = types.SimpleNamespace(get_node_id=lambda: node, get_accelerator_ids=dict)
    global_node = types.SimpleNamespace(get_session_dir_path=lambda: session_dir)
    worker = types.SimpleNamespace(_global_node=global_node)
    return types.SimpleNamespace(
        get_runtime_context=lambda: context, _private=types.SimpleNamespace(worker=worker),
        util=types.SimpleNamespace(get_node_ip_address=lambda: ip),
    )


def new_actor(cls: type, header: dict[str, Any], session_dir: str, node: str = HEAD, ip: str = IP) -> Any:
    """An actor of the class outside Ray."""
    with mock.patch.object(actor_module, "ray", stub_ray(node, ip, session_dir)):
        return cls(header)


class FakeActor(UnitActor):
    """The actor with fake processes; `started` holds them all."""

    def __init__(self, header: dict[str, Any]) -> None:
        with mock.patch.object(actor_module, "Reaper"):
            super().__init__(header)
        self.started: list[FakeProcess] = []
        self.executed: dict[str, Any] = {}  # the template of the last one

    def _spawn(self, template: dict[str, Any], resolved: dict[str, str]) -> Any:
        self.executed = template
        self.started.append(FakeProcess())
        return self.started[-1]


class Handle:
    """An actor's handle: the calls that wait for an actor which is not there yet, or
    is slow, are answered when it is."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self.name = cluster, name
        self.gate, self.dead = asyncio.Event(), asyncio.Event()
        self.actor: FakeActor | None = None
        self.make: Callable[[], FakeActor]
        for method in METHODS:
            setattr(self, method, types.SimpleNamespace(remote=lambda *args, m=method: self._remote(m, args)))

    def _remote(self, method: str, args: tuple) -> Any:
        future = asyncio.run_coroutine_threadsafe(self._call(method, args), self._cluster.loop)
        future.add_done_callback(lambda f: f.cancelled() or f.exception())  # nobody may be left to look
        return types.SimpleNamespace(future=lambda: future)

    async def _call(self, method: str, args: tuple) -> Any:
        async def answer() -> Any:
            await self.gate.wait()
            if self.actor is None:
                self.actor = self.make()
            return await getattr(self.actor, method)(*args)

        work, death = asyncio.ensure_future(answer()), asyncio.ensure_future(self.dead.wait())
        await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
        if self.dead.is_set():
            work.cancel()
            await asyncio.wait([work])
            raise RayActorError(error_msg=f"{self.name} is dead")
        death.cancel()
        return copy.deepcopy(work.result())  # it comes from another process

    def die(self) -> None:
        """With its process, which lets go of what it held."""
        self.dead.set()
        if self.actor is not None:
            self.actor._ports.release_all_but(())
        for process in self.actor.started if self.actor else []:
            process.end(-9)


class Group:
    """A placement group."""

    def __init__(self, template: dict[str, Any], state: str, node: str) -> None:
        self.hex = uuid.uuid4().hex
        self.id = types.SimpleNamespace(hex=lambda: self.hex)
        self.template, self.state, self.node = template, state, node

    def row(self) -> dict[str, Any]:
        """Ray's row."""
        bundles = {i: dict(b) for i, b in enumerate(self.template["bundles"])}
        placed = dict.fromkeys(bundles, self.node if self.state == "CREATED" else "")
        return {
            "placement_group_id": self.hex, "name": self.template["name"], "state": self.state, "bundles": bundles,
            "strategy": self.template["strategy"], "bundles_to_node_id": placed,
        }


class Cluster:
    """ray_api.Ray, and what a test does to it."""
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.directory = tempfile.mkdtemp(prefix="dynctl-fakes-")
        self.ips = {HEAD: IP}
        self.node = HEAD  # where the next group goes
        self.full = False  # groups wait for nodes
        self.loses: set[str] = set()  # the actors that are not made
        self.living: list[str] = []  # jobs; the one that has made all, "01", is dead
        self.tells = True  # the State API answers
        self.handles: dict[str, Handle] = {}
        self.looks = {"groups": 0, "actors": 0}  # how often all of them were asked for
        self.by_name: dict[str, Group] = {}

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def place(self) -> None:
        """The nodes have come."""
        self.full = False
        for group in self.by_name.values():
            if group.state == "PENDING":
                group.state, group.node = "CREATED", self.node
        for handle in self.handles.values():
            handle.gate.set()

    # ray_api.Ray.

    def session(self) -> str:
        return SESSION

    def session_dir(self) -> str:
        return f"/tmp/ray/{SESSION}"

    has_package = None  # asked by an agent that was told of programs alone

    def node_ip(self) -> str:
        return IP

    def node_id(self) -> str:
        return HEAD

    async def find_group(self, name: str) -> Group | None:
        group = self.by_name.get(name)
        return group if group and group.state != "REMOVED" else None

    async def create_group(self, template: dict[str, Any]) -> Group:
        group = Group(template, "PENDING" if self.full else "CREATED", self.node)
        self.by_name[template["name"]] = group
        return group

    async def group_row(self, group: Group) -> dict[str, Any]:
        return group.row()

    async def groups(self) -> list[dict[str, Any]]:
        self.looks["groups"] += 1
        return [g.row() for g in self.by_name.values()]

    async def remove_group(self, group: Group) -> None:
        group.state = "REMOVED"

    async def create_actor(self, template: dict[str, Any], group: Group, header: dict[str, Any]) -> Handle:
        name = template["name"]
        if await self.find_actor(name):
            raise ValueError(name)
        handle = self.handles[name] = Handle(self, name)
        handle.make = lambda: new_actor(FakeActor, header, self.directory, group.node, self.ips[group.node])
        handle.group = group  # type: ignore[attr-defined]
        if group.state == "CREATED" and name not in self.loses:
            self.loop.call_soon_threadsafe(handle.gate.set)
        return handle

    async def find_actor(self, name: str) -> Handle | None:
        handle = self.handles.get(name)
        return handle if handle and not handle.dead.is_set() else None

    async def actor_names(self) -> list[str]:
        self.looks["actors"] += 1
        return sorted(n for n, h in self.handles.items() if not h.dead.is_set())

    async def kill(self, handle: Handle) -> None:
        self.loop.call_soon_threadsafe(handle.die)

    async def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": n, "NodeManagerAddress": ip, "Alive": True, "Resources": {"CPU": 8, "GPU": 8}}
            for n, ip in self.ips.items()
        ]

    async def look_here(self, cache_dir: str) -> dict[str, Any]:
        return await asyncio.to_thread(inventory.look, cache_dir)

    async def free(self) -> dict[str, dict[str, float]]:
        return {}

    async def autoscaling(self) -> bool:
        return False

    async def group_rows(self) -> list[dict[str, Any]]:
        if not self.tells:
            raise RuntimeError("the dashboard is slow")
        rows = [{"name": g.template["name"], "placement_group_id": g.hex, "creator_job_id": "01"} for g in self.by_name.values()]
        # Ray lists removed groups too, and names come again.
        return rows + [{**r, "placement_group_id": "removed", "creator_job_id": "02"} for r in rows]

    async def actor_rows(self) -> list[dict[str, Any]]:
        if not self.tells:
            raise RuntimeError("the dashboard is slow")
        rows = []
        for name in await self.actor_names():
            handle = self.handles[name]
            row = {"name": name, "state": "ALIVE" if handle.actor else "PENDING_CREATION", "job_id": "01"}
            rows.append({**row, "node_id": None, "pid": None, "placement_group_id": handle.group.hex})  # type: ignore[attr-defined]
        return rows

    async def live_jobs(self) -> list[str]:
        return self.living
