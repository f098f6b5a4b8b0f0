"""Worker processes of Ray's that are there before the actors that run in them."""

from __future__ import annotations

import collections

from ..common.log import log
from .live import LiveUnit

# How long Ray keeps one for a unit that is to follow (seconds): longer than a worker takes
# to start that takes so little that a second more would be noticed.
AHEAD = 60.0


async def ahead(live: LiveUnit) -> None:
    """Have the processes started for a unit that follows this one and is made alike, where
    this one is: most often the same node. Nothing depends on it: it only starts later."""
    actors = [a for a in live.unit.actors.values() if a.node and not a.template.get("runtimeEnv")]
    for node, count in collections.Counter(a.node for a in actors).items():
        try:
            await live.world.ray.prestart(node, count, AHEAD)
        except Exception as err:  # a version of Ray may have no such call, a node may be gone
            log("info", "no worker process is started ahead", node=node, error=repr(err)[:300])
