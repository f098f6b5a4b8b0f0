"""What commands make of units, in a real Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import unittest

from . import cluster
from .cluster import FIRST_PORT, worker
from .patience import within
from .realcase import GENERATION, TREE, Case


class Life(Case):
    async def test_start_exit_again_stop(self):
        t = self.http()
        await self.r.start(t)
        actor = await self.r.running(t)
        self.assertEqual((actor["attempt"], actor["ports"]["system"] >= FIRST_PORT + 500), (1, True))
        os.kill(actor["childPid"], signal.SIGKILL)
        await self.r.until(lambda: self.r.state(t) == "Exited")
        end = self.r.actor(t)["exit"]
        self.assertEqual((end["attempt"], end["code"], end["reason"], end.get("infraAway")), (1, -9, "Killed", False))
        self.assertIn("Serving HTTP", end["logTail"])
        await self.r.start(t, 2)
        await self.r.until(lambda: self.r.state(t) == "Running" and self.r.actor(t)["attempt"] == 2)
        again = self.r.actor(t)
        self.assertEqual((again["pid"], again["failures"]), (actor["pid"], 1))
        await self.r.stop(t)
        await self.r.until(lambda: not self.r.state(t))
        await self.gone([again["childPid"], again["pid"]])
        await self.r.until(lambda: self.facts("unit-stopped"))
        self.assertEqual(len(self.facts("placement-created")), 1)
        self.assertEqual([f["detail"]["attempt"] for f in self.facts("unit-exited")], [1])

    async def test_a_lower_attempt_is_replaced_gracefully(self):
        t = self.worker(["sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"])
        logs = f"ray/session_2*/nemo_curator_dynamo_{self.server}_*"
        await self.r.start(t)
        first = await self.r.running(t)
        await self.r.until(lambda: any(log.read_text() for log in self.machines.dir.glob(f"{logs}/*.log")))  # has its trap
        await self.r.start(t, 2)
        await self.r.until(lambda: self.r.actor(t)["attempt"] == 2 and self.r.state(t) == "Running")
        await self.gone([first["childPid"]])
        self.assertEqual(self.facts("unit-exited"), [])
        (log,) = self.machines.dir.glob(f"{logs}/*.log.1")
        self.assertEqual(log.read_text(), "up\nbye\n")
        await self.r.start(t, 1)  # a repeat of what was reached changes nothing
        await self.r.start(t, 2)
        await asyncio.sleep(0.3)
        self.assertEqual(self.r.actor(t)["attempt"], 2)

    async def test_stop_ends_what_hears_no_sigterm_and_removes_the_directory(self):
        t = self.worker(["sh", "-c", TREE])
        await self.r.start(t)
        actor = await self.r.running(t)
        pids = await self.family(actor["childPid"])
        await self.r.stop(t, 0.3)
        await self.r.until(lambda: not self.r.state(t), 30)
        await self.gone([*pids, actor["pid"]], 0.1)
        (directory,) = self.machines.dir.glob(f"ray/session_2*/nemo_curator_dynamo_{self.server}_*")
        self.assertEqual([p.name for p in directory.iterdir()], ["Dynamo_DP0_m.log"])

    async def test_stop_of_what_is_not_there(self):
        t = self.worker(["sleep", "1"])
        await self.r.stop(t)
        await self.eventually(lambda: "nothing to stop" in self.log())

    async def test_stop_interrupts_a_start_and_a_start_follows_a_stop(self):
        t = self.worker(["sleep", "3600"], needs=["infra/Dynamo_ETCD"])
        await self.r.start(t)
        await self.r.until(lambda: self.r.state(t) == "Waiting")
        await self.r.stop(t)
        t["actors"][0]["needs"] = []
        await self.r.start(t)
        actor = await self.r.running(t)
        self.assertEqual(actor["attempt"], 1)
        self.assertEqual(len(self.facts("unit-stopped")), 1)

    async def test_several_at_once_get_ports_of_their_own(self):
        ts = [self.http(n) for n in range(3)]
        await asyncio.gather(*(self.r.start(t) for t in ts))
        actors = [await self.r.running(t) for t in ts]
        self.assertEqual(len({a["ports"]["system"] for a in actors}), 3)


class Failures(Case):
    async def exit_of(self, t, timeout=60):
        await self.r.start(t)
        await self.r.until(lambda: self.r.state(t) == "Exited", timeout)
        return self.r.actor(t)["exit"]

    async def test_program_missing(self):
        end = await self.exit_of(self.worker(["no-such-program"]))
        self.assertEqual(end["reason"], "ExecFailed")
        self.assertRegex(end["logTail"], "no-such-program: not found on node .*--bin-dir")

    async def test_secret_missing(self):
        end = await self.exit_of(self.worker(["sleep", "1"], env=[{"name": "A", "fromFile": "/nowhere/x"}]))
        self.assertEqual(end["reason"], "ExecFailed")
        self.assertIn("/nowhere/x", end["logTail"])

    async def test_port_promised_to_another_unit(self):
        port = FIRST_PORT + 600
        rule = [{"name": "system", "seed": port, "exact": True}]
        first = self.http(0, ports=rule)
        await self.r.start(first)
        await self.r.running(first)
        end = await self.exit_of(self.http(1, ports=rule))
        self.assertEqual(end["reason"], "PortConflict")
        self.assertIn(str(port), end["logTail"])

    async def test_a_port_that_stays_held_is_told_once(self):
        port = FIRST_PORT + 610
        rule = [{"name": "system", "seed": port, "exact": True}]
        first, second = self.http(0, ports=rule), self.http(1, ports=rule)
        await self.r.start(first)
        await self.r.running(first)
        await self.exit_of(second)
        for attempt in (2, 3):
            await self.r.start(second, attempt)
            await self.r.until(lambda n=attempt: (self.r.actor(second).get("exit") or {}).get("attempt") == n)
        await self.r.stop(first)
        await self.r.until(lambda: not self.r.state(first))
        await self.r.start(second, 4)
        os.kill((await self.r.running(second))["childPid"], signal.SIGKILL)
        await self.r.until(lambda: len(self.facts("unit-exited")) > 1)
        self.assertEqual([f["detail"]["attempt"] for f in self.facts("unit-exited")], [1, 4])

    async def test_port_promised_to_a_process_that_waits(self):
        port = FIRST_PORT + 620
        late = self.http(0, ports=[{"name": "system", "seed": port, "exact": True}], needs=["infra/Dynamo_ETCD"])
        await self.r.start(late)
        await self.r.until(lambda: self.r.state(late) == "Waiting")
        other = self.http(1, ports=[{"name": "system", "seed": port}])
        await self.r.start(other)
        self.assertGreater((await self.r.running(other))["ports"]["system"], port)

    async def test_never_ready(self):
        health = {"kind": "http", "port": "system", "path": "/missing", "firstWithin": 0.5}
        end = await self.exit_of(self.http(health=health))
        self.assertEqual((end["reason"], end["code"]), ("StartupTimeout", -9))

    async def test_hung(self):
        health = {"kind": "http", "port": "system", "path": "/", "every": 0.2, "failures": 2}
        t = self.http(health=health)
        await self.r.start(t)
        actor = await self.r.running(t)
        os.kill(actor["childPid"], signal.SIGSTOP)
        await self.r.until(lambda: self.r.state(t) == "Exited", 20)
        self.assertEqual(self.r.actor(t)["exit"]["reason"], "Hung")
        await self.gone([actor["childPid"]])

    async def test_placement_timeout(self):
        t = self.worker(["sleep", "1"])
        t["placementGroup"]["bundles"], t["placementTimeout"] = [{"CPU": 1000}], 0.5
        await self.r.start(t)
        await self.r.until(lambda: self.r.state(t) == "Exited")
        unit = self.r.units[f"{self.server}.{t['unit']}"]
        self.assertEqual((unit["reason"], unit["attempt"], unit["actors"]), ("PlacementTimeout", 1, []))
        t["placementGroup"]["bundles"] = [{"CPU": 1}]
        await self.r.start(t)
        await self.r.running(t)

    async def test_an_actor_that_is_killed_takes_all_its_processes_along(self):
        t = self.worker(["sh", "-c", TREE])
        await self.r.start(t)
        actor = await self.r.running(t)
        pids = await self.family(actor["childPid"])
        os.kill(actor["pid"], signal.SIGKILL)
        await self.r.until(lambda: self.r.actor(t).get("state") == "Dead")
        await self.gone(pids, 5)
        self.assertEqual((self.r.state(t), self.r.actor(t)["exit"]["reason"]), ("Exited", "ActorDied"))
        await self.r.start(t, 2)
        again = await self.r.running(t)
        self.assertEqual(again["attempt"], 2)
        self.assertNotEqual(again["pid"], actor["pid"])

    async def test_the_group_is_removed_by_somebody(self):
        t = self.worker(["sh", "-c", TREE])
        await self.r.start(t)
        actor = await self.r.running(t)
        pids = await self.family(actor["childPid"])
        code = f"import ray; ray.init(address='auto', namespace='{cluster.NAMESPACE}', log_to_driver=False)\n" \
            f"ray.util.remove_placement_group(ray.util.get_placement_group('{t['placementGroup']['name']}'))"
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], env=self.machines.environment, check=True)
        unit = f"{self.server}.{t['unit']}"
        await self.r.until(lambda: self.r.units[unit]["placementGroup"]["state"] == "REMOVED")
        await self.gone(pids, 5)
        await self.r.start(t, 2)
        await self.r.running(t)


class Needs(Case):
    def infra(self):
        def actor(label, argv, **fields):
            one = worker(self.server, GENERATION, 0, argv, **fields)["actors"][0]
            return {**one, "label": label, "name": f"dynamo_{self.server}_{GENERATION}_{label}"}

        t = worker(self.server, GENERATION, 0, [])
        t.update(unit="infra", model="", role="")
        t["placementGroup"] = {
            "name": f"dynamo_{self.server}_{GENERATION}_pg_infra", "strategy": "STRICT_PACK", "bundles": [{"CPU": 1}] * 2,
        }
        etcd = [{"expand": "{py}"}, "-m", "http.server", {"expand": "{port:infra/etcd}"}]
        t["actors"] = [
            actor("Dynamo_ETCD", etcd, ports=[{"name": "etcd", "seed": FIRST_PORT + 700, "sticky": True}],
                  health={"kind": "http", "port": "etcd"}, keepData=True),
            actor("Dynamo_Frontend", ["sleep", "3600"], needs=["infra/Dynamo_ETCD"], bundle=1),
        ]
        self.templates.append(t)
        return t

    async def test_the_exec_waits_and_gets_the_address(self):
        url = {"expand": "http://{ip:infra/0}:{port:infra/etcd}"}
        script = "echo $URL; exec sleep 3600"
        w = self.worker(["sh", "-c", script], env=[{"name": "URL", "value": url}], needs=["infra/Dynamo_ETCD"])
        await self.r.start(w)
        await self.r.until(lambda: self.r.state(w) == "Waiting")
        t = self.infra()
        await self.r.start(t)
        actor = await self.r.running(w)
        etcd = self.r.actor(t)
        ip, port = etcd["ip"], str(etcd["ports"]["etcd"])
        self.assertEqual(actor["uses"], {"{ip:infra/0}": ip, "{port:infra/etcd}": port})
        (log,) = self.machines.dir.glob(f"ray/session_2*/nemo_curator_dynamo_{self.server}_{w['unit']}/*.log")
        async with within(20):
            while not log.read_text():  # a process that runs need not have written yet
                await asyncio.sleep(0.01)
        self.assertEqual(log.read_text(), f"http://{ip}:{port}\n")

        # It comes back on its port, and an exit meanwhile does not count.
        os.kill(etcd["childPid"], signal.SIGKILL)
        await self.r.until(lambda: self.r.actor(t)["state"] == "Exited")
        os.kill(actor["childPid"], signal.SIGKILL)
        await self.r.until(lambda: self.r.state(w) == "Exited")
        self.assertTrue(self.r.actor(w)["exit"]["infraAway"])
        os.kill(etcd["pid"], signal.SIGKILL)
        await self.r.until(lambda: self.r.actor(t)["state"] == "Dead")
        await self.r.start(t, 2)
        await self.r.running(t)
        self.assertEqual(str(self.r.actor(t)["ports"]["etcd"]), port)

    async def test_a_start_goes_on_under_the_next_agent(self):
        w = self.worker(["sleep", "3600"], needs=["infra/Dynamo_ETCD"])
        await self.r.start(w)
        await self.r.until(lambda: self.r.state(w) == "Waiting")
        self.machines.agents[-1].kill()
        await self.new_agent()
        t = self.infra()
        await self.r.start(t)
        await self.r.running(w)


if __name__ == "__main__":
    unittest.main()
