"""The agent with a real Ray and a real nats-server, and real processes as children.

They share one Ray head, because starting one takes ten seconds; each test has a
server name of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import unittest

from dynctl_agent.actor import procfs

from . import cluster
from .cluster import FIRST_PORT, Machines, Reconciler, http_worker, worker
from .patience import within

machines: Machines
servers = (f"s{n}" for n in itertools.count())
GENERATION = "0a0a0a0a"
TREE = "trap '' TERM; sh -c \"trap '' TERM; sleep 3600 & wait\" & wait"


def setUpModule():
    global machines
    machines = Machines()


def tearDownModule():
    machines.close()


def tree(root: int) -> list:
    """A process with all that descends from it."""
    table, found = list(procfs.processes()), {root}
    for _ in range(5):
        found |= {p.pid for p in table if p.ppid in found}
    return sorted(found)


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.server = next(servers)
        self.r = Reconciler(machines)
        await self.r.open()
        self.addAsyncCleanup(self.r.close)
        if not machines.agents or machines.agents[-1].poll() is not None:
            machines.start_agent()
        self.templates = []
        await self.r.synced()

    async def asyncTearDown(self):
        if machines.agents[-1].poll() is None:
            for t in self.templates:
                if self.r.state(t):
                    await self.r.stop(t, 0.2, "sweep")
            await self.r.until(lambda: not any(self.r.state(t) for t in self.templates), 60)

    def worker(self, argv, index=0, **fields):
        self.templates.append(worker(self.server, GENERATION, index, argv, **fields))
        return self.templates[-1]

    def http(self, index=0, **fields):
        self.templates.append(http_worker(self.server, GENERATION, index, **fields))
        return self.templates[-1]

    async def gone(self, pids, timeout=10.0):
        for _ in range(int(timeout / 0.02)):
            if not any(procfs.alive(p) for p in pids):
                return
            await asyncio.sleep(0.02)
        self.fail(f"alive: {[p for p in pids if procfs.alive(p)]}")

    async def eventually(self, condition, timeout=20.0):
        """For what no message tells."""
        for _ in range(int(timeout / 0.02)):
            if condition():
                return
            await asyncio.sleep(0.02)
        self.fail(f"not within {timeout} s")

    async def family(self, root):
        """The pids of a process of TREE, once it has started its children."""
        await self.eventually(lambda: len(tree(root)) >= 3)
        return tree(root)

    async def new_agent(self):
        before = self.r.agent["incarnation"]
        machines.start_agent()
        return await self.r.synced(before + 1)

    def log(self):
        return machines.agents[-1].log.read_text()

    def facts(self, kind):
        return [f["data"] for f in self.r.facts if f["type"] == kind and f["data"]["server"] == self.server]


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

    async def test_a_lower_attempt_is_executed_anew_gracefully(self):
        t = self.worker(["sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"])
        logs = f"ray/session_2*/nemo_curator_dynamo_{self.server}_*"
        await self.r.start(t)
        first = await self.r.running(t)
        await self.r.until(lambda: any(log.read_text() for log in machines.dir.glob(f"{logs}/*.log")))  # has its trap
        await self.r.start(t, 2)
        await self.r.until(lambda: self.r.actor(t)["attempt"] == 2 and self.r.state(t) == "Running")
        await self.gone([first["childPid"]])
        self.assertEqual(self.facts("unit-exited"), [])
        (log,) = machines.dir.glob(f"{logs}/*.log.1")
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
        (directory,) = machines.dir.glob(f"ray/session_2*/nemo_curator_dynamo_{self.server}_*")
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
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], env=machines.environment, check=True)
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
        (log,) = machines.dir.glob(f"ray/session_2*/nemo_curator_dynamo_{self.server}_{w['unit']}/*.log")
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
        machines.agents[-1].kill()
        await self.new_agent()
        t = self.infra()
        await self.r.start(t)
        await self.r.running(w)


class Agents(Case):
    async def test_kill_of_the_agent_touches_no_unit(self):
        t = self.http()
        await self.r.start(t)
        before = await self.r.running(t)
        machines.agents[-1].kill()
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
        machines.agents[-1].kill()
        os.kill(before["pid"], signal.SIGKILL)
        await self.gone([before["childPid"]])
        await self.new_agent()
        actor = await self.r.until(lambda: self.r.actor(t).get("state") == "Dead" and self.r.actor(t))
        self.assertEqual((actor["attempt"], self.r.units[f"{self.server}.{t['unit']}"]["storeId"]), (1, cluster.STORE))
        await self.r.start(t, 2)
        await self.r.running(t)

    async def test_a_stop_goes_on_when_the_agent_dies_while_the_unit_drains(self):
        done = machines.dir / f"{self.server}-done"
        t = self.worker(["sh", "-c", f"trap 'echo term' TERM; while [ ! -e {done} ]; do sleep 0.05; done"])
        await self.r.start(t)
        actor = await self.r.running(t)
        await self.r.stop(t, 60)
        (log,) = machines.dir.glob(f"ray/session_2*/nemo_curator_dynamo_{self.server}_*/*.log")
        await self.eventually(lambda: "term" in log.read_text())
        machines.agents[-1].kill()
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
        machines.agents[-1].kill()
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
        machines.agents[-1].kill()
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
        old = machines.agents[-1]
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
        machines.nats.kill()
        machines.nats.wait()
        os.kill(before["childPid"], signal.SIGKILL)
        await asyncio.sleep(1.5)
        machines.start_nats()
        for _ in range(100):
            await self.r.refresh()
            if self.r.state(t) == "Exited":
                break
            await asyncio.sleep(0.1)
        self.assertIsNone(machines.agents[-1].poll())
        await self.r.start(t, 2)
        await self.r.until(lambda: self.r.state(t) == "Running", 30)

    async def test_the_bucket_is_made_anew(self):
        t = self.worker(["sleep", "3600"])
        await self.r.start(t)
        before = await self.r.running(t)
        machines.agents[-1].kill()
        incarnation = self.r.agent["incarnation"]
        await self.r.js.delete_stream("KV_dynctl_observed")
        self.r.agent = {}
        self.r.units.clear()
        await self.r.close()
        await self.r.open()
        machines.start_agent()
        await self.r.until(lambda: self.r.agent.get("synced"), 60)
        self.assertGreater(self.r.agent["incarnation"], incarnation)
        self.assertEqual((await self.r.running(t))["childPid"], before["childPid"])

    async def test_the_bucket_is_made_anew_under_a_living_agent(self):
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
                machines.agents[-1].send_signal(signal.SIGSTOP)
                await self.r.command("start", self.server, t["unit"], command, **data)
                await asyncio.sleep(0.5)
                machines.agents[-1].send_signal(signal.SIGCONT)
                await self.eventually(lambda: reason in self.log())
        self.assertEqual(self.r.state(t), "")

    async def test_the_highest_epoch_is_remembered(self):
        t = self.worker(["sleep", "1"])
        epoch = self.r.agent["epoch"]
        await self.r.stop(t)
        await self.r.command("stop", self.server, t["unit"], {}, epoch=epoch + 5)
        await self.r.until(lambda: self.r.agent["epoch"] == epoch + 5, 2)


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
            env=machines.environment, stdout=subprocess.PIPE, text=True,
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
        machines.agents[-1].kill()
        machines.start_agent(storeId="store-2")
        await self.r.until(lambda: self.r.agent.get("storeId") == "store-2" and self.r.agent["synced"], 60)
        payload = {"template": t, "placement": {"number": 1, "failures": 0}, "storeId": "store-2",
                   "attempts": {t["actors"][0]["name"]: {"number": 1, "failures": 0}}}
        await self.r.command("start", self.server, t["unit"], payload)
        before = await self.r.running(t)
        machines.agents[-1].kill()
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
