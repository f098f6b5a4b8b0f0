"""Remove a placement group by hand: remove_group.py RAY_ADDRESS NAMESPACE NAME."""

import sys

import ray

address, namespace, name = sys.argv[1:4]
ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level="error")
ray.util.remove_placement_group(ray.util.get_placement_group(name))
print("removed")
