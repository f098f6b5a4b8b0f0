"""What others have made under our names, in a real Ray."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import unittest

from dynctl_agent.actor import procfs

from . import cluster
from .realcase import Case, tree

CURATOR = """
import os, ray, subprocess, sys, time
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as Strategy
ray.init(address="auto", namespace=sys.argv[1], log_to_driver=False)
@ray.remote
class Sub:
    def launch(self):
        self.p = subprocess.Popen(["sh", "-c", "sleep 3600 & wait"], start_new_session=True)
        return self.p.pid
pg = ray.util.placement_group([{"CPU": 1}], name=sys.argv[2], lifetime="detached")
a = Sub.options(name=sys.argv[3], lifetime="detached", num_cpus=1, scheduling_strategy=Strategy(pg, 0)).remote()
print(ray.get(a.launch.remote()), flush=True)
time.sleep(600)
"""


class Strangers(Case):
    async def test_leftovers_of_a_killed_driver_are_reported_and_swept_with_their_children(self):
        t = self.worker(["sleep", "1"])
        names = [t["placementGroup"]["name"], t["actors"][0]["name"]]
        driver = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CURATOR), cluster.NAMESPACE, *names],
            env=self.machines.environment, stdout=subprocess.PIPE, text=True,
        )
        self.addCleanup(driver.stdout.close)
        pids = tree(int(await asyncio.to_thread(driver.stdout.readline)))
        unit = f"{self.server}.{t['unit']}"
        # Its group may be seen a moment before its actor.
        await self.r.until(lambda: (u := self.r.units.get(unit, {})).get("jobAlive") and u["actors"], 30)
        self.assertEqual((self.r.units[unit]["storeId"], len(self.r.units[unit]["actors"])), ("", 1))
        driver.kill()
        driver.wait()
        await self.r.until(lambda: not self.r.units[unit].get("jobAlive"), 30)
        await self.r.stop(t)  # a stop is not for what is not ours
        await self.eventually(lambda: "not ours" in self.log())
        self.assertTrue(any(procfs.alive(p) for p in pids))
        await self.r.stop(t, 1.0, "sweep")
        await self.r.until(lambda: unit not in self.r.units, 60)
        await self.gone(pids, 0.5)
        await self.r.until(lambda: self.facts("orphan-swept"))

    async def test_units_of_another_store_are_reported_and_not_touched(self):
        t = self.worker(["sleep", "3600"])
        self.machines.agents[-1].kill()
        self.machines.start_agent(storeId="store-2")
        await self.r.until(lambda: self.r.agent.get("storeId") == "store-2" and self.r.agent["synced"], 60)
        payload = {"template": t, "placement": {"number": 1, "failures": 0}, "storeId": "store-2",
                   "attempts": {t["actors"][0]["name"]: {"number": 1, "failures": 0}}}
        await self.r.command("start", self.server, t["unit"], payload)
        before = await self.r.running(t)
        self.machines.agents[-1].kill()
        await self.new_agent()
        self.assertEqual(self.r.units[f"{self.server}.{t['unit']}"]["storeId"], "store-2")
        await self.r.start(t, 2)
        await self.eventually(lambda: "judged first" in self.log())
        self.assertEqual(self.r.actor(t)["childPid"], before["childPid"])
        await self.r.stop(t, 1.0, "sweep")
        await self.r.until(lambda: not self.r.state(t), 60)
        await self.gone([before["childPid"], before["pid"]])


if __name__ == "__main__":
    unittest.main()
