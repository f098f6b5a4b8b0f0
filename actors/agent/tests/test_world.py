"""What units share."""

from __future__ import annotations

import unittest

from dynctl_agent.common.template import ETCD, NATS
from dynctl_agent.job.units import DEAD, PLACING, RUNNING, STARTING, ActorView, UnitView
from dynctl_agent.job.world import World


class Ports(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.world = World(None, None, None)
        self.world.node_ips = {"a": "10.0.0.1", "b": "10.0.0.1", "c": "10.0.0.2"}
        self.unit = UnitView("s", "infra", "store")
        self.world.units = {("s", "infra"): self.unit}

    def actor(self, name: str, rule: dict, node: str = "a", **ports: int) -> ActorView:
        """An actor of the unit that has answered, with one port rule."""
        actor = ActorView(name, {"name": name, "bundle": len(self.unit.actors), "ports": [rule] if rule else []})
        actor.node, actor.phase, actor.snap["ports"] = node, "" if node else PLACING, ports
        self.unit.actors[name] = actor
        return actor

    async def test_nodes_of_one_machine_share_its_ports(self):
        self.actor("holder", {"name": "system", "seed": 20300}, "a", system=20300)
        asker = self.actor("asker", {})
        for node, want in (("a", [20300]), ("b", [20300]), ("c", []), ("not known yet", [])):
            with self.subTest(node):
                self.assertEqual(self.world.taken_ports(node, asker), want)
                self.assertEqual(self.world.node_lock(node) is self.world.node_lock("a"), bool(want))

    async def test_a_promise_is_kept_before_it_is_taken_up(self):
        asker = self.actor("asker", {"name": "etcd", "seed": 2379})
        promise = {"name": "http", "seed": 2379, "count": 2, "exact": True}
        frontend = self.actor("frontend", promise)
        for name, change, want in (
            ("it waits for etcd", {}, [2379, 2380]),
            ("it is not made yet, beside what is", {"node": "", "phase": PLACING}, [2379, 2380]),
            ("it is dead, and comes back", {"phase": DEAD}, [2379, 2380]),
            ("it is on another machine", {"node": "c"}, []),
        ):
            with self.subTest(name):
                self.unit.group = {"strategy": "STRICT_PACK"}
                frontend.node, frontend.phase = "a", ""
                vars(frontend).update(change)
                self.assertEqual(self.world.taken_ports("a", asker), want)
        with self.subTest("the group tells where it will be"):
            frontend.node, frontend.phase, asker.node = "", PLACING, "c"
            self.unit.bundle_nodes = {"1": "b"}
            self.assertEqual((self.world.taken_ports("a", asker), self.world.taken_ports("c", asker)), ([2379, 2380], []))
        with self.subTest("it changes with the next attempt"):
            frontend.next_ports = [{**promise, "seed": 2399}]
            self.assertEqual(self.world.taken_ports("a", asker), [2399, 2400])
        with self.subTest("a unit that is stopped has no promise any more"):
            self.unit.stopping = True
            self.assertEqual(self.world.taken_ports("a", asker), [])

    async def test_one_port_that_is_promised_to_two_goes_to_the_first(self):
        rule = {"name": "http", "seed": 8000, "exact": True}
        first, second = self.actor("first", rule), self.actor("second", rule)
        self.assertEqual(self.world.taken_ports("a", first), [], "else neither would ever get it")
        first.snap["ports"] = {"http": 8000}
        self.assertEqual(self.world.taken_ports("a", second), [8000])

    async def test_what_comes_back_on_its_port_finds_it(self):
        etcd = self.actor("etcd", {"name": "etcd", "seed": 2379, "sticky": True}, "a", etcd=2401)
        asker = self.actor("asker", {})
        etcd.phase = DEAD
        self.assertEqual(self.world.taken_ports("a", asker), [2401])


class Values(unittest.TestCase):
    def test_why_ray_ended_an_actor_is_told_without_its_tabs(self):
        actor = ActorView("a")
        end = actor.die("The actor died because its node has died.\n\tthe actor's node was terminated: no heartbeats", 1.0)
        self.assertEqual(end["logTail"], "The actor died because its node has died.\nthe actor's node was terminated: no heartbeats")

    def test_what_is_told_to_be_open(self):
        service, other = {"argv": ["nats-server"]}, {"argv": ["{py}", "-m", "dynamo.frontend"]}
        for name, template, state, silent, known, want in (
            ("it runs without a credential", service, RUNNING, False, {}, True),
            ("it has that of the other service", service, RUNNING, False, {ETCD: "x"}, True),
            ("it has its own", service, RUNNING, False, {NATS: "x"}, False),
            ("it is being closed", service, STARTING, False, {}, False),
            ("it does not say", service, RUNNING, True, {}, False),
            ("it is no service", other, RUNNING, False, {}, False),
        ):
            actor = ActorView("a", template)
            actor.phase, actor.silent = "", silent
            actor.snap.update({"state": state, "access": known})
            with self.subTest(name):
                self.assertEqual(actor.value().get("open", False), want)


if __name__ == "__main__":
    unittest.main()
