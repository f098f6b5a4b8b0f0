"""What is asked of the raylet of a node, which no public interface of Ray offers: worker
processes that are there before an actor needs one.

An actor in a worker process that is there already is made in 0.3 s, in a new one in 1.3 s
and more (docs/benchmarks.md). Of Ray's own idle processes only those serve that have never
run anything: those that ran a task take no actor, and an actor never gives its process back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import ray

TIMEOUT = 5.0  # seconds for an answer
_addresses: dict[str, str] = {}  # of raylets, by node


class Worker(NamedTuple):
    """A worker process of this job."""

    pid: int
    address: str  # HOST:PORT
    fresh: bool  # it has never run anything, and waits to


def prestart(node: str, count: int, keep: float) -> None:
    """Have a node start that many worker processes for this job, without any resource, and
    keep them that long (seconds) while nothing uses them. After that Ray ends those beyond
    the node's free CPUs. Does not wait until they are there. Raises whatever Ray does,
    ImportError where its version or installation has no such call."""
    from ray.core.generated import common_pb2, node_manager_pb2

    common, messages = cast(Any, common_pb2), cast(Any, node_manager_pb2)  # made when they are imported
    request = messages.PrestartWorkersRequest(
        language=common.Language.PYTHON, num_workers=count, keep_alive_duration_secs=int(keep), job_id=_job(),
    )
    request.runtime_env_info.serialized_runtime_env = "{}"
    with _raylet(node) as raylet:
        raylet.PrestartWorkers(request, timeout=TIMEOUT)


def workers(node: str) -> list[Worker]:
    """The worker processes of this job on a node that have registered with its raylet, which
    asks each of them. Raises as prestart does."""
    from ray.core.generated import common_pb2, node_manager_pb2

    kinds, messages, job = cast(Any, common_pb2).WorkerType, cast(Any, node_manager_pb2), _job()
    with _raylet(node) as raylet:
        reply = raylet.GetNodeStats(messages.GetNodeStatsRequest(include_memory_info=False), timeout=TIMEOUT)
    return [
        Worker(w.pid, f"{w.ip_address}:{w.port}", _fresh(w))
        for w in reply.core_workers_stats
        if w.worker_type == kinds.WORKER and w.job_id == job
    ]


def _fresh(stats: Any) -> bool:
    used = stats.num_executed_tasks or stats.num_running_tasks or stats.task_queue_length
    return not used and not stats.actor_id.strip(b"\xff")  # which is all ones where there is none


def end(worker: Worker) -> bool:
    """Ask a worker process to end if it has nothing to do, as its raylet does; False if it
    does not. Raises as prestart does."""
    from ray.core.generated import core_worker_pb2, core_worker_pb2_grpc

    messages, services = cast(Any, core_worker_pb2), cast(Any, core_worker_pb2_grpc)
    with _channel(worker.address) as channel:
        reply = services.CoreWorkerServiceStub(channel).Exit(messages.ExitRequest(force_exit=False), timeout=TIMEOUT)
    return bool(reply.success)


def _job() -> bytes:
    return bytes.fromhex(ray.get_runtime_context().get_job_id())


@contextlib.contextmanager
def _raylet(node: str) -> Iterator[Any]:
    """The raylet of a node, whose address is looked up again once it has not answered."""
    from ray.core.generated.node_manager_pb2_grpc import NodeManagerServiceStub

    if node not in _addresses:
        alive = [r for r in ray.nodes() if r.get("Alive")]
        _addresses.update({r["NodeID"]: f"{r['NodeManagerAddress']}:{r['NodeManagerPort']}" for r in alive})
    if node not in _addresses:
        raise LookupError(f"node {node} is not alive")
    try:
        with _channel(_addresses[node]) as channel:
            yield NodeManagerServiceStub(channel)
    except Exception:
        _addresses.pop(node, None)
        raise


def _channel(address: str) -> Any:
    from ray._private.grpc_utils import init_grpc_channel

    return init_grpc_channel(address)
