"""What outlives an agent, NATS and the bucket, in a real Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import unittest

from . import cluster
from .realcase import Case


class Agents(Case):
    async def test_kill_of_the_agent_touches_no_unit(self):
        t = self.http()
        await self.r.start(t)
        before = await self.r.running(t)
        self.machines.agents[-1].kill()
        incarnation = await self.new_agent()
        await self.r.until(lambda: self.r.units[f"{self.server}.{t['unit']}"]["incarnation"] == incarnation)
        after = await self.r.running(t)
        for field in ("pid", "childPid", "attempt", "ports", "startedAt", "digest"):
            self.assertEqual(after[field], before[field], field)
        os.kill(after["childPid"], signal.SIGKILL)
        await self.r.until(lambda: self.r.state(t) == "Exited")

    async def test_what_died_while_no_agent_looked(self):
        t = self.worker(["sleep", "3600"])
        await self.r.start(t)
        before = await self.r.running(t)
        self.machines.agents[-1].kill()
        os.kill(before["pid"], signal.SIGKILL)
        await self.gone([before["childPid"]])
        await self.new_agent()
        actor = await self.r.until(lambda: self.r.actor(t).get("state") == "Dead" and self.r.actor(t))
        self.assertEqual((actor["attempt"], self.r.units[f"{self.server}.{t['unit']}"]["storeId"]), (1, cluster.STORE))
        await self.r.start(t, 2)
        await self.r.running(t)

    async def test_a_stop_goes_on_when_the_agent_dies_while_the_unit_drains(self):
        done = self.machines.dir / f"{self.server}-done"
        t = self.worker(["sh", "-c", f"trap 'echo term' TERM; while [ ! -e {done} ]; do sleep 0.05; done"])
        await self.r.start(t)
        actor = await self.r.running(t)
        await self.r.stop(t, 60)
        (log,) = self.machines.dir.glob(f"ray/session_2*/nemo_curator_dynamo_{self.server}_*/*.log")
        await self.eventually(lambda: "term" in log.read_text())
        self.machines.agents[-1].kill()
        await self.new_agent()
        await self.r.until(lambda: self.r.state(t) == "Stopping")
        done.touch()
        await self.r.until(lambda: not self.r.state(t), 30)
        await self.gone([actor["childPid"], actor["pid"]])
        self.assertEqual(log.read_text(), "term\n")

    async def test_an_actor_that_is_slow_stays_ours(self):
        t = self.worker(["sleep", "3600"])
        await self.r.start(t)
        before = await self.r.running(t)
        self.machines.agents[-1].kill()
        os.kill(before["pid"], signal.SIGSTOP)
        try:
            await self.new_agent()
            unit = self.r.units[f"{self.server}.{t['unit']}"]
            self.assertEqual((unit["storeId"], unit["state"]), (cluster.STORE, "Starting"))
            self.assertEqual(self.r.actor(t)["childPid"], before["childPid"])
        finally:
            os.kill(before["pid"], signal.SIGCONT)
        await self.r.running(t)
        os.kill(before["childPid"], signal.SIGKILL)
        await self.r.until(lambda: self.r.state(t) == "Exited")

    async def test_an_actor_that_waits_for_nodes_stays_ours(self):
        t = self.worker(["sleep", "3600"])
        t["placementGroup"]["bundles"], t["placementTimeout"] = [{"CPU": 1000}], 0
        await self.r.start(t)
        await self.r.until(lambda: self.r.state(t) == "Placing")
        await self.eventually(lambda: "placement-created" not in self.log())
        self.machines.agents[-1].kill()
        incarnation = await self.new_agent()
        unit = self.r.units[f"{self.server}.{t['unit']}"]
        self.assertEqual((unit["incarnation"], unit["storeId"], unit["state"]), (incarnation, cluster.STORE, "Placing"))
        await self.r.start(t)
        await self.r.stop(t, 0.2)
        await self.r.until(lambda: not self.r.state(t), 30)
        self.assertNotIn("taken by others", self.log())

    async def test_a_paused_agent_that_wakes_does_no_harm(self):
        t = self.worker(["sleep", "3600"])
        await self.r.start(t)
        before = await self.r.running(t)
        old = self.machines.agents[-1]
        old.send_signal(signal.SIGSTOP)
        incarnation = await self.new_agent()
        t2 = self.worker(["sleep", "3600"], 1)
        await self.r.start(t2)
        await self.r.running(t2)
        old.send_signal(signal.SIGCONT)
        self.assertEqual(await asyncio.to_thread(old.wait, 30), 0)
        self.assertIn("in charge", old.log.read_text().splitlines()[-1])
        self.assertEqual(self.r.agent["incarnation"], incarnation)
        self.assertEqual(self.r.actor(t)["childPid"], before["childPid"])
        self.assertEqual(self.r.state(t2), "Running")

    async def test_nats_goes_and_comes_back(self):
        t = self.worker(["sleep", "3600"])
        await self.r.start(t)
        before = await self.r.running(t)
        self.machines.nats.kill()
        self.machines.nats.wait()
        os.kill(before["childPid"], signal.SIGKILL)
        await asyncio.sleep(1.5)
        self.machines.start_nats()
        for _ in range(100):
            await self.r.refresh()
            if self.r.state(t) == "Exited":
                break
            await asyncio.sleep(0.1)
        self.assertIsNone(self.machines.agents[-1].poll())
        await self.r.start(t, 2)
        await self.r.until(lambda: self.r.state(t) == "Running", 30)

    async def test_the_bucket_is_recreated(self):
        t = self.worker(["sleep", "3600"])
        await self.r.start(t)
        before = await self.r.running(t)
        self.machines.agents[-1].kill()
        incarnation = self.r.agent["incarnation"]
        await self.r.js.delete_stream("KV_dynctl_observed")
        self.r.agent = {}
        self.r.units.clear()
        await self.r.close()
        await self.r.open()
        self.machines.start_agent()
        await self.r.until(lambda: self.r.agent.get("synced"), 60)
        self.assertGreater(self.r.agent["incarnation"], incarnation)
        self.assertEqual((await self.r.running(t))["childPid"], before["childPid"])

    async def test_the_bucket_is_recreated_under_a_living_agent(self):
        t = self.worker(["sleep", "3600"])
        await self.r.start(t)
        before = await self.r.running(t)
        incarnation = self.r.agent["incarnation"]
        await self.r.js.delete_stream("KV_dynctl_observed")
        self.r.agent = {}
        self.r.units.clear()
        self.r.nodes.clear()
        await self.r.close()
        await self.r.open()
        self.assertEqual(await self.r.synced(), incarnation)
        self.assertTrue(self.r.nodes)
        self.assertEqual((await self.r.running(t))["childPid"], before["childPid"])

    async def test_refusals(self):
        t = self.worker(["sleep", "3600"])
        for name, reason, payload, data in (
            ("another store", "RefusedStore", {"storeId": "other"}, {}),
            ("another session", "RefusedSession", {"session": "other"}, {}),
            ("a lower epoch", "RefusedEpoch", {}, {"epoch": 0}),
            ("too late", "RefusedDeadline", {"deadline": 0.2}, {}),
        ):
            with self.subTest(name):
                command = {"template": t, "placement": {"number": 1, "failures": 0}, "attempts": {}, **payload}
                self.machines.agents[-1].send_signal(signal.SIGSTOP)
                await self.r.command("start", self.server, t["unit"], command, **data)
                await asyncio.sleep(0.5)
                self.machines.agents[-1].send_signal(signal.SIGCONT)
                await self.eventually(lambda: reason in self.log())
        self.assertEqual(self.r.state(t), "")

    async def test_the_highest_epoch_is_remembered(self):
        t = self.worker(["sleep", "1"])
        epoch = self.r.agent["epoch"]
        await self.r.stop(t)
        await self.r.command("stop", self.server, t["unit"], {}, epoch=epoch + 5)
        await self.r.until(lambda: self.r.agent["epoch"] == epoch + 5, 2)


if __name__ == "__main__":
    unittest.main()
