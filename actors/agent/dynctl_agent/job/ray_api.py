"""What the agent asks of Ray, off the event loop, and what it sends to the nodes.

Ray's own calls block; they run in a pool of threads. Calls of actors do not block:
their ObjectRefs are awaited.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import ray
from ray import cloudpickle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError
from ray.util.placement_group import PlacementGroup, placement_group_table
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from ..actor import descendants, flagtable, inventory
from ..actor.unit_actor import UnitActor
from ..common.deadline import in_time
from ..common.messages import Header, Inventory
from ..common.template import ActorTemplate, Group
from . import raylet
from .config import JOB_CONFIG

T = TypeVar("T")

# The type that Ray's monitor makes up for each node of a cluster that it only looks at.
READ_ONLY = re.compile(r"^(node_[0-9a-f]{40,})?$")
# Enough for describe, stop, the waits of this agent and of a few paused ones.
ACTOR_CONCURRENCY = 100


def connect(namespace: str) -> None:
    """Connect to the cluster that this job belongs to, with a runtime environment for
    nobody: a worker process with one costs every actor a second."""
    if os.environ.get(JOB_CONFIG):
        config = json.loads(os.environ[JOB_CONFIG])
        config.pop("runtime_env", None)
        os.environ[JOB_CONFIG] = json.dumps(config)
    ray.init(address="auto", namespace=namespace, log_to_driver=False, logging_level=logging.WARNING)
    # The nodes do not have this package: the classes travel by value.
    import dynctl_agent

    cloudpickle.register_pickle_by_value(dynctl_agent)


class Ray:
    """The Ray cluster, from one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="ray")
        self._actor_class = ray.remote(UnitActor)

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """fn(*args) in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: fn(*args))

    async def warm_up(self) -> None:
        """Have Ray import what the first call of an actor and the first look at its State API
        need: up to two seconds each on a busy machine."""

        def first() -> None:
            import ray.util.state

            ray.get(ray.put(None))

        await self.run(first)

    def session(self) -> str:
        """The name of the Ray session, such as session_2026-11-24_03-20-00_000000_1."""
        return ray.get_runtime_context().get_session_name()

    def session_dir(self) -> str:
        """Its directory on the node that the agent runs on."""
        worker: Any = ray._private.worker  # which declares its node as None
        path: str = worker._global_node.get_session_dir_path()
        return path

    def node_id(self) -> str:
        """The node that the agent runs on."""
        return ray.get_runtime_context().get_node_id()

    def node_ip(self) -> str:
        """The address of the node that the agent runs on."""
        address: str = ray.util.get_node_ip_address()
        return address

    async def has_package(self, package: str) -> bool:
        """Whether a package is in the cluster's store."""
        from ray.experimental.internal_kv import _internal_kv_exists

        return bool(await self.run(_internal_kv_exists, package))

    # Placement groups.

    async def find_group(self, name: str) -> PlacementGroup | None:
        """The group of that name in our namespace, or None."""

        def find() -> PlacementGroup | None:
            try:
                group: PlacementGroup = ray.util.get_placement_group(name)
                return group
            except ValueError:
                return None

        return await self.run(find) if name else None

    async def create_group(self, template: Group) -> PlacementGroup:
        """Ask for a detached group as the template says; does not wait for it."""
        bundles = [{k: float(v) for k, v in b.items() if v} for b in template["bundles"]]
        selector = template.get("bundleLabelSelector")

        def create() -> PlacementGroup:
            group: PlacementGroup = ray.util.placement_group(
                bundles,
                strategy=template["strategy"],
                name=template["name"],
                lifetime="detached",
                bundle_label_selector=selector or None,
            )
            return group

        return await self.run(create)

    async def group_row(self, group: PlacementGroup) -> dict[str, Any]:
        """Ray's row about a group: name, state, bundles, bundles_to_node_id, ..."""
        return await self.run(placement_group_table, group)

    async def groups(self) -> list[dict[str, Any]]:
        """Ray's rows about all groups of all namespaces."""
        return list((await self.run(placement_group_table)).values())

    async def remove_group(self, group: PlacementGroup) -> None:
        """Remove a group; what is gone is no error."""
        await self.run(ray.util.remove_placement_group, group)

    # Actors.

    async def create_actor(self, template: ActorTemplate, group: PlacementGroup, header: Header) -> Any:
        """A detached actor in its bundle; does not wait for it."""
        options: dict[str, Any] = {
            "name": template["name"],
            "namespace": self.namespace,
            "lifetime": "detached",
            "num_cpus": template.get("cpus") or 0,
            "num_gpus": template.get("gpus") or 0,
            "max_concurrency": ACTOR_CONCURRENCY,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                placement_group=group, placement_group_bundle_index=template["bundle"]
            ),
        }
        if template.get("runtimeEnv"):
            options["runtime_env"] = template["runtimeEnv"]
        return await self.run(lambda: self._actor_class.options(**options).remote(header))

    async def find_actor(self, name: str) -> Any | None:
        """The living actor of that name, or None."""

        def find() -> Any | None:
            try:
                return ray.get_actor(name, namespace=self.namespace)
            except ValueError:
                return None

        return await self.run(find)

    async def actor_names(self) -> list[str]:
        """The names of the living actors of our namespace."""
        rows = await self.run(lambda: ray.util.list_named_actors(all_namespaces=True))
        return sorted(r["name"] for r in rows if r["namespace"] == self.namespace)

    async def kill(self, handle: Any) -> None:
        """End an actor; what is dead is no error."""
        await self.run(lambda: ray.kill(handle, no_restart=True))

    async def prestart(self, node: str, count: int, keep: float) -> None:
        """Worker processes of a node for actors that are about to come (raylet.prestart)."""
        await self.run(raylet.prestart, node, count, keep)

    async def workers(self, node: str) -> list[raylet.Worker]:
        """The worker processes of this job on a node (raylet.workers)."""
        return await self.run(raylet.workers, node)

    async def end(self, worker: raylet.Worker) -> bool:
        """Ask a worker process that waits to end (raylet.end)."""
        return await self.run(raylet.end, worker)

    # Tasks.

    async def look(self, node: str, cache_dir: str) -> Inventory:
        """What a node has that Ray does not tell."""
        return await self._on_node(node, inventory.look, cache_dir)

    async def look_here(self, cache_dir: str) -> Inventory:
        """The same of the agent's own node, without a task."""
        return await self.run(inventory.look, cache_dir)

    async def read_flags(self, node: str, source: str, program: str) -> dict[str, str]:
        """The table of a program's flags on a node, or the error why there is none."""
        return await in_time(self._on_node(node, flagtable.read, source, program), flagtable.TIMEOUT + 60)

    async def end_descendants(self, node: str, parent: int, grace: float) -> list[int]:
        """End what descends from a process of a node; the pids that are left."""
        return await self._on_node(node, descendants.end_descendants, parent, grace)

    async def _on_node(self, node: str, fn: Callable[..., T], *args: Any) -> T:
        strategy = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        task = await self.run(lambda: ray.remote(fn).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy))
        answer: T = await ask(task.remote(*args))
        return answer

    # Nodes.

    async def nodes(self) -> list[dict[str, Any]]:
        """Ray's rows about all nodes, dead ones included."""
        return await self.run(ray.nodes)

    async def free(self) -> dict[str, dict[str, float]]:
        """What is free by node id; empty when this version of Ray does not tell."""

        def free() -> dict[str, dict[str, float]]:
            try:
                found: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
                return found
            except AttributeError:
                return {}

        return await self.run(free)

    async def autoscaling(self) -> bool:
        """Whether the cluster adds nodes by itself."""
        try:
            return any(not READ_ONLY.match(t) for t in await self.run(_node_types))
        except Exception:  # whatever a version of Ray does there, it is no reason to end
            return False

    # Foreign actors.

    async def actor_rows(self) -> list[dict[str, Any]]:
        """The State API's rows about living named actors of our namespace: name,
        actor_id, job_id, node_id, pid, placement_group_id."""

        def rows() -> list[dict[str, Any]]:
            from ray.util.state import list_actors

            found = list_actors(
                filters=[("ray_namespace", "=", self.namespace), ("state", "!=", "DEAD")],
                limit=10_000, detail=True, raise_on_missing_output=False,
            )
            return [vars(r) if not isinstance(r, dict) else r for r in found]

        return await self.run(rows)

    async def group_rows(self) -> list[dict[str, Any]]:
        """The State API's rows about placement groups of all namespaces: name,
        placement_group_id, creator_job_id."""

        def rows() -> list[dict[str, Any]]:
            from ray.util.state import list_placement_groups

            found = list_placement_groups(limit=10_000, raise_on_missing_output=False)
            return [vars(r) if not isinstance(r, dict) else r for r in found]

        return await self.run(rows)

    async def live_jobs(self) -> list[str]:
        """The ids of the jobs whose driver lives, but for our own: it makes nothing that
        carries no store id."""

        def jobs() -> list[str]:
            from ray._private.state import state

            own = ray.get_runtime_context().get_job_id()
            return [j["JobID"] for j in state.job_table() if not j.get("IsDead") and j["JobID"] != own]

        return await self.run(jobs)


def _node_types() -> list[str]:
    """The node types that the cluster's autoscaler reports, if it has one."""
    from ray.experimental.internal_kv import _internal_kv_get

    if _internal_kv_get(b"__autoscaler_v2_enabled") == b"1":
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        return [n.ray_node_type_name for n in (*status.active_nodes, *status.idle_nodes)]
    report = json.loads(_internal_kv_get(b"__autoscaling_status") or b"{}").get("autoscaler_report") or {}
    return list((report.get("node_type_mapping") or {}).values())


async def ask(ref: Any, timeout: float | None = None) -> Any:
    """The result of an ObjectRef; a cancelled or late caller leaves the call running."""
    return await in_time(asyncio.shield(asyncio.wrap_future(ref.future())), timeout)


__all__ = ["ActorDiedError", "ActorUnavailableError", "Ray", "RayActorError", "ask", "connect"]
