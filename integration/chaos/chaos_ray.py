"""Ray's side of the chaos program: one command a line, one JSON answer a line.

chaos_ray.py RAY_ADDRESS NAMESPACE; commands: `remove GROUP`, `list`.
"""

import json
import sys

import ray
from ray.util.placement_group import placement_group_table

address, namespace = sys.argv[1:3]
ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level="error")


def listed():
    """The names of what lives under our prefix."""
    actors = [a["name"] for a in ray.util.list_named_actors(all_namespaces=True) if a["namespace"] == namespace]
    groups = [g["name"] for g in placement_group_table().values() if g["state"] != "REMOVED" and g["name"]]
    return {"actors": sorted(actors), "groups": sorted(groups)}


print(json.dumps({}), flush=True)
for line in sys.stdin:
    verb, _, argument = line.strip().partition(" ")
    try:
        if verb == "remove":
            ray.util.remove_placement_group(ray.util.get_placement_group(argument))
            answer = {}
        else:
            answer = listed()
    except Exception as err:  # told to the caller, who decides
        answer = {"error": repr(err)}
    print(json.dumps(answer), flush=True)
