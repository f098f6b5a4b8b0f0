"""The nodes of the cluster, looked at once a second and written when they change."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, cast

from ..common.log import log
from .observe import Writer
from .observed import ObservedNode, Told
from .world import World

EVERY = 1.0
# Ray's GCS away for this many looks in a row: the job fails, and is submitted again.
PATIENCE = 30
HEAD = "node:__internal_head__"
TOLD = ("versions", "cards", "caches", "parsers")


class Nodes:
    """Keeps node.<id> current."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._values: dict[str, ObservedNode] = {}
        self._writers: dict[str, Writer] = {}
        self._told: dict[str, Told] = {}  # by the nodes themselves
        self._failures = 0

    def alive(self) -> list[str]:
        """The ids of the nodes that live."""
        return [node for node, value in self._values.items() if value["alive"]]

    def tell(self, node: str, found: Told) -> None:
        """What a node says of itself: versions, cards, caches and parsers."""
        self._told[node] = found
        value = self._values.get(node)
        if value is not None and any(value.get(k) != found.get(k) for k in TOLD):
            self._values[node] = cast(ObservedNode, {**{k: v for k, v in value.items() if k not in TOLD}, **found})
            self._writer(node).mark()

    async def load(self, revisions: dict[str, int]) -> None:
        """Look, and write all over what the bucket holds, by key; those of nodes that are
        gone are deleted."""
        await self._look()
        for node in {*self._values, *(key[len("node.") :] for key in revisions)}:
            self._writer(node).again(revisions.get(f"node.{node}", 0))
        for node in list(self._values):
            await self._writer(node).flush()

    def revisions(self) -> dict[str, int]:
        """The keys that are written here, with the revisions that were written last."""
        return {f"node.{node}": self._writer(node).revision for node in self._values}

    async def put_right(self, node: str) -> bool:
        """Write a node again that somebody else has written to; False for one that is not
        there."""
        if node not in self._values:
            return False
        await self._writer(node).check()
        return True

    async def run(self) -> None:
        """Look for ever. Raises when Ray does not answer any more."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self._look()
                self._failures = 0
            except Exception as err:
                self._failures += 1
                log("warn", "Ray does not tell its nodes", error=repr(err)[:300])
                if self._failures >= PATIENCE:
                    raise

    async def _look(self) -> None:
        rows, free = await asyncio.gather(self._world.ray.nodes(), self._world.ray.free())
        for row in rows:
            node = row["NodeID"]
            if not row.get("Alive") and node not in self._values:
                continue
            value = self._value(row, free.get(node))
            self._world.node_ips[node] = value["ip"]
            if self._values.get(node) != value:
                self._values[node] = value
                self._writer(node).mark()
                self._world.changed.fire()

    def _value(self, row: dict[str, Any], free: dict[str, float] | None) -> ObservedNode:
        old, resources = self._values.get(row["NodeID"]), row.get("Resources") or {}
        alive = bool(row.get("Alive"))
        value = cast(ObservedNode, {
            "id": row["NodeID"], "ip": row.get("NodeManagerAddress") or (old["ip"] if old else ""), "alive": alive,
            "gpus": int(resources.get("GPU", 0)), "cpus": int(resources.get("CPU", 0)),
            "head": HEAD in resources or bool(old and old["head"]),
            "labels": row.get("Labels") or (old["labels"] if old else {}), "incarnation": self._world.incarnation,
            **self._told.get(row["NodeID"], Told()),
        })
        if alive and free is not None:
            value["freeGpus"], value["freeCpus"] = free.get("GPU", 0.0), free.get("CPU", 0.0)
        return value

    def _writer(self, node: str) -> Writer:
        if node not in self._writers:
            render = functools.partial(self._values.get, node)
            self._writers[node] = Writer(self._world.bus, f"node.{node}", render, self._world.in_charge)
        return self._writers[node]
