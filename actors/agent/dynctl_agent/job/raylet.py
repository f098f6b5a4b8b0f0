"""What is asked of the raylet of a node, which no public interface of Ray offers: worker
processes that are there before an actor needs one.

An actor in a worker process that is there already is made in 0.3 s, in a new one in 1.3 s
and more (docs/benchmarks.md). Ray's own idle processes do not serve: those that ran a task
take no actor, and an actor never gives its process back.
"""

from __future__ import annotations

from typing import Any, cast

import ray

TIMEOUT = 5.0  # seconds for an answer


def prestart(node: str, count: int, keep: float) -> None:
    """Have a node start that many worker processes for this job, without any resource, and
    keep them that long (seconds) while nothing uses them. After that Ray keeps as many idle
    ones as the node has CPUs. Does not wait until they are there. Raises whatever Ray does,
    ImportError where its version or installation has no such call."""
    from ray.core.generated import common_pb2, node_manager_pb2

    common, messages = cast(Any, common_pb2), cast(Any, node_manager_pb2)  # made when they are imported
    request = messages.PrestartWorkersRequest(
        language=common.Language.PYTHON, num_workers=count, keep_alive_duration_secs=int(keep),
        job_id=bytes.fromhex(ray.get_runtime_context().get_job_id()),
    )
    request.runtime_env_info.serialized_runtime_env = "{}"
    channel, stub = _connect(node)
    with channel:
        stub.PrestartWorkers(request, timeout=TIMEOUT)


def _connect(node: str) -> tuple[Any, Any]:
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated.node_manager_pb2_grpc import NodeManagerServiceStub

    row = next((r for r in ray.nodes() if r["NodeID"] == node and r.get("Alive")), None)
    if row is None:
        raise LookupError(f"node {node} is not alive")
    channel: Any = init_grpc_channel(f"{row['NodeManagerAddress']}:{row['NodeManagerPort']}")
    return channel, NodeManagerServiceStub(channel)
