"""A driver that makes what NeMo Curator's does, under the names that it uses, and
waits to be killed: curator_driver.py RAY_ADDRESS NAMESPACE SERVER PIDFILE PAUSE.

PAUSE: seconds between the first group and its actor.

It has no group and actor of a killed driver's server more than this: infra with
one child process, and one replica of a model with a child and a grandchild.
"""

import subprocess
import sys
import time

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

address, namespace, server, pid_file, pause = sys.argv[1:6]
PREFIX = f"dynamo_{server}_0badcafe"


@ray.remote(num_cpus=1)
class Subprocess:
    """Curator's actor: a child in a session of its own, that outlives its actor."""

    def start(self, command):
        self.child = subprocess.Popen(command, start_new_session=True)
        return self.child.pid


def group(name):
    made = placement_group([{"CPU": 1}], strategy="STRICT_PACK", name=f"{PREFIX}_pg_{name}", lifetime="detached")
    ray.get(made.ready())
    return made


def actor(name, where):
    strategy = PlacementGroupSchedulingStrategy(placement_group=where, placement_group_bundle_index=0)
    return Subprocess.options(name=f"{PREFIX}_{name}", lifetime="detached", scheduling_strategy=strategy).remote()


ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level="error")
infra = group("infra")
time.sleep(float(pause))
etcd = actor("Dynamo_ETCD", infra)
worker = actor("Dynamo_DP0_m", group("m_DP0"))
pids = ray.get([
    etcd.start.remote(["sleep", "3600"]),
    worker.start.remote(["bash", "-c", "sleep 3601 & wait"]),
])
with open(pid_file, "w", encoding="ascii") as f:
    f.write(" ".join(map(str, pids)))
time.sleep(3600)
