"""What units share."""

from __future__ import annotations

import types
import unittest

from dynctl_agent.units import ActorView
from dynctl_agent.world import World


class Ports(unittest.IsolatedAsyncioTestCase):
    async def test_nodes_of_one_machine_share_its_ports(self):
        world = World(None, None, None)
        world.node_ips = {"a": "10.0.0.1", "b": "10.0.0.1", "c": "10.0.0.2"}
        holder, asker = ActorView("holder"), ActorView("asker")
        holder.node, holder.phase = "a", ""
        holder.template = {"ports": [{"name": "system", "seed": 20300}]}
        holder.snap["ports"] = {"system": 20300}
        unit = types.SimpleNamespace(actors={"holder": holder, "asker": asker})
        world.units = {("s", "u"): types.SimpleNamespace(unit=unit)}
        for node, want in (("a", [20300]), ("b", [20300]), ("c", []), ("not known yet", [])):
            with self.subTest(node):
                self.assertEqual(world.taken_ports(node, asker), want)
                self.assertEqual(world.node_lock(node) is world.node_lock("a"), bool(want))


if __name__ == "__main__":
    unittest.main()
