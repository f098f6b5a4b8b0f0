"""Ray and NATS in this process, for what takes minutes with the real ones: an actor that
does not answer, a bucket that is recreated. Actors are the real class, on the loop of
the test, with processes that are not."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import shutil
import tempfile
import time
import types
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

from dynctl_agent.actor import inventory
from dynctl_agent.actor import unit_actor as actor_module
from dynctl_agent.actor.unit_actor import UnitActor
from dynctl_agent.job import values
from dynctl_agent.job.bus import Conflict
from dynctl_agent.job.config import Config
from dynctl_agent.job.ray_api import RayActorError
from nats.js.errors import APIError

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


class Nats:
    """The bucket and the streams."""

    def __init__(self) -> None:
        self.sequence = 0
        self.bucket: dict[str, tuple[dict[str, Any] | None, int]] = {}
        self.history: list[tuple[str, dict[str, Any] | None]] = []
        self.messages: list[Any] = []
        self.facts: list[dict[str, Any]] = []
        self.buses: list[FakeBus] = []
        self.away = False
        self.refusing = 0  # how many writes JetStream refuses from now on
        self.refused = 0
        self.deaf = False  # no consumer can be made
        self.withheld: list[Any] = []  # the answers to come
        self.reads: list[str] = []  # of which keys the value was read
        self.lists = 0  # how often all keys were asked for

    def get(self, key: str) -> dict[str, Any] | None:
        """The value of a key."""
        return self.bucket.get(key, (None, 0))[0]

    def recreated(self) -> None:
        """The bucket is deleted and made again."""
        self.bucket, self.history, self.sequence = {}, [], 0

    def put(self, key: str, value: Any, by: Any = None, heard: bool = True) -> int:
        """Write without looking; bytes are written as they are."""
        for bus in [b for b in self.buses if b is not by and heard]:
            bus.hear(key)
        self.sequence += 1
        self.bucket[key] = (value, self.sequence)
        self.history.append((key, value))
        return self.sequence


class FakeBus:
    """bus.Bus."""

    def __init__(self, nats: Nats) -> None:
        self._nats = nats
        self.reconnected = asyncio.Event()
        self.touched: set[str] = set()
        self.touch = asyncio.Event()
        self._loop = asyncio.get_event_loop()
        nats.buses.append(self)

    def hear(self, key: str) -> None:
        """Somebody else writes a key."""

        def heard() -> None:
            self.touched.add(key)
            self.touch.set()

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._loop.call_soon(heard))

    def _there(self) -> None:
        if self._nats.away:
            raise OSError("NATS is away")

    def _takes(self) -> None:
        self._there()
        if self._nats.refusing:
            self._nats.refusing -= 1
            self._nats.refused += 1
            raise APIError(code=503, err_code=10023, description="insufficient resources")

    async def connect(self, config: Config) -> None:
        pass

    async def close(self) -> None:
        pass

    async def read(self, key: str) -> tuple[dict[str, Any] | None, int]:
        self._there()
        self._nats.reads.append(key)
        value, revision = self._nats.bucket.get(key, (None, 0))
        if value is None:
            return None, revision
        try:
            return values.read(key, value if isinstance(value, bytes) else json.dumps(value).encode()), revision
        except values.Unreadable:
            return values.Garbage(), revision

    async def write(self, key: str, value: dict[str, Any], revision: int) -> int:
        self._takes()
        if self._nats.bucket.get(key, (None, 0))[1] != revision:
            raise Conflict(key)
        return self._nats.put(key, value, self)

    async def delete(self, key: str, revision: int) -> None:
        self._takes()
        if self._nats.bucket.get(key, (None, 0))[1] != revision:
            raise Conflict(key)
        self._nats.put(key, None, self)

    async def keys(self) -> dict[str, int]:
        self._there()
        self._nats.lists += 1
        return {k: revision for k, (v, revision) in self._nats.bucket.items() if v is not None}

    async def learn_clock(self, revision: int, written: float) -> None:
        pass

    def server_time(self) -> float:
        return time.time()

    async def listen(self, subject: str, respond: Any) -> None:
        pass

    async def withheld(self, command_id: str) -> dict[str, Any] | None:
        return self._nats.withheld.pop(0) if self._nats.withheld else None

    async def subscribe(self, name: str, after: int) -> Any:
        self._takes()
        if self._nats.deaf:
            raise APIError(code=404, err_code=10059, description="stream not found")
        self._read = after or len(self._nats.messages)
        return self

    async def fetch(self, count: int, timeout: float) -> list[Any]:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._read < len(self._nats.messages):
                self._read += 1
                return [self._nats.messages[self._read - 1]]
            await asyncio.sleep(0.005)
        raise asyncio.TimeoutError

    async def publish(self, subject: str, message_id: str, document: dict[str, Any]) -> None:
        self._takes()
        if not any(f["id"] == message_id for f in self._nats.facts):
            self._nats.facts.append(document)
