"""Who is let in by etcd and NATS, with both of them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pathlib
import socket
import stat
import tempfile
import types
import unittest
from unittest import mock

import nats
from dynctl_agent.actor import access, gateway, retire
from dynctl_agent.actor.gateway import Gateway, text
from dynctl_agent.actor.unit_actor import UnitActor
from dynctl_agent.common.template import ETCD, NATS
from dynctl_agent.job import access as job
from dynctl_agent.job.units import RUNNING, ActorView, UnitView

from . import fakes
from .cluster import REPOSITORY, STORE, worker
from .fakecase import FakeCase
from .fakes import new_actor
from .patience import within

HOUR = 3600.0
GENERATION = "0a0a0a0a"


def infra() -> dict:
    """The template of the unit, as it is rendered."""
    peer = "http://127.0.0.1:{port:infra/etcd-peer}"
    etcd = {
        "name": "p_Dynamo_ETCD", "label": "Dynamo_ETCD", "bundle": 0, "keepData": True,
        "argv": [
            "etcd", "--listen-client-urls", {"expand": "http://0.0.0.0:{port:infra/etcd}"},
            "--advertise-client-urls", {"expand": "http://{ip:infra/0}:{port:infra/etcd}"},
            "--listen-peer-urls", {"expand": peer}, "--initial-advertise-peer-urls", {"expand": peer},
            "--initial-cluster", {"expand": f"default={peer}"}, "--data-dir", {"expand": "{RD}/etcd_data"},
        ],
        "env": [{"name": "ALLOW_NONE_AUTHENTICATION", "value": "yes"}],
        "health": {"kind": "http", "port": "etcd", "path": "/health", "every": 1, "failures": 30},
    }
    nats_server = {
        "name": "p_Dynamo_NATS", "label": "Dynamo_NATS", "bundle": 1, "keepData": True, "env": [],
        "argv": ["nats-server", "-p", {"expand": "{port:infra/nats}"}, "-js", "--store_dir", {"expand": "{RD}/nats_data"}],
        "health": {"kind": "nats", "port": "nats", "every": 1, "failures": 30},
    }
    actors = [{**a, "startupTimeout": 120, "terminationGracePeriod": 10, "ports": []} for a in (etcd, nats_server)]
    return {"server": "s", "unit": "infra", "generation": "0a0a0a0a", "placementGroup": {"name": "pg"}, "actors": actors}


class Services(unittest.IsolatedAsyncioTestCase):
    """Actors that execute them, beside each other in one session."""

    async def asyncSetUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        for module, name, value in ((gateway, "TIMEOUT", 20.0), (access, "PATIENCE", 120.0)):
            patch = mock.patch.object(module, name, value)  # of a busy machine
            patch.start()
            self.addCleanup(patch.stop)
        self.caller = {"storeId": STORE, "incarnation": 1}
        self.ports = {}
        for name in ("etcd", "etcd-peer", "nats"):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.ports[name] = s.getsockname()[1]
        self.actors = []
        self.addAsyncCleanup(self.end)

    async def end(self):
        for actor in self.actors:
            await actor.stop(self.caller, 1)

    def actor(self, label: str):
        """A new one, as it is made after the death of another."""
        t = infra()
        name = next(a["name"] for a in t["actors"] if a["label"] == label)
        goal = {"number": 1, "failures": 0}
        header = {
            "storeId": STORE, "actor": name, "template": t, "placement": goal, "goals": {}, "binDirs": [str(REPOSITORY / "bin")],
        }
        self.actors.append(new_actor(UnitActor, header, self.dir.name))
        return self.actors[-1]

    async def execute(self, actor, number: int = 1, closes: bool = True):
        """Its snapshot, once it is ready."""
        resolved = {f"{{port:infra/{name}}}": str(port) for name, port in self.ports.items()} | {"{ip:infra/0}": "127.0.0.1"}
        request = {
            "template": infra(), "goals": {}, "attempt": {"number": number, "failures": 0}, "resolved": resolved, "uses": {},
            "previousLease": 0, "closes": closes, "access": {},
        }
        actor._state.change(ports=self.ports)
        snap = await actor.execute(self.caller, request)
        async with within(120):
            while snap["state"] != "Running":
                self.assertEqual(snap["state"], "Starting", snap)
                snap = await actor.wait(self.caller, snap["version"])
        return snap

    def etcd(self, known=None):
        """As somebody sees it, with a credential or without."""
        url = f"http://127.0.0.1:{self.ports['etcd']}"
        return Gateway(url, known["user"], known["password"]) if known else Gateway(url)

    async def post(self, known, call: str, body: dict):
        return await asyncio.to_thread(self.etcd(known).post, call, body)

    async def nats(self, **how):
        nc = await nats.connect(f"nats://127.0.0.1:{self.ports['nats']}", allow_reconnect=False, connect_timeout=20, **how)
        await nc.flush(20)
        await nc.close()

    def files(self) -> dict[str, pathlib.Path]:
        return {p.name: p for p in pathlib.Path(self.dir.name).rglob("*_data") if p.is_file()}


EVERY_KEY = {"key": text(b"\0"), "range_end": text(b"\0")}
# What a neighbour would do: read, write, keep and end leases, let others in, take a copy.
ATTACKS = {
    "kv/range": EVERY_KEY,
    "kv/put": {"key": text(b"v1/instances/x"), "value": text(b"{}")},
    "kv/deleterange": EVERY_KEY,
    "kv/txn": {"success": [{"request_delete_range": EVERY_KEY}]},
    "kv/compaction": {"revision": "1"},
    "lease/revoke": {"ID": "77"},
    "auth/user/add": {"name": "me", "password": "me"},
    "auth/user/changepw": {"name": "root", "password": "me"},
    "auth/disable": {},
    "auth/authenticate": {"name": "root", "password": "root"},
    "cluster/member/add": {"peerURLs": ["http://127.0.0.1:1"]},
    "maintenance/defragment": {},
    "maintenance/snapshot": {},
}


class Etcd(Services):
    async def test_a_neighbour_is_refused_everything(self):
        actor = self.actor("Dynamo_ETCD")
        snap = await self.execute(actor)
        own = await actor.tell_access(self.caller)
        self.assertEqual(snap["access"], {ETCD: own["id"]})
        await self.post(own, "lease/grant", {"ID": "77", "TTL": "600"})
        await self.post(own, "kv/put", {"key": text(b"k"), "value": text(b"v"), "lease": "77"})
        for call, body in ATTACKS.items():
            with self.subTest(call), self.assertRaises(OSError):
                answer = await self.post(None, call, body)
                if "error" in answer:  # of a stream it tells in the stream
                    raise OSError(answer["error"])
        self.assertEqual((await self.post(own, "kv/range", EVERY_KEY))["kvs"][0]["lease"], "77")

    async def test_a_token_outlasts_an_execution_of_etcd(self):
        """Dynamo's clients log in once in their lives."""
        actor = self.actor("Dynamo_ETCD")
        await self.execute(actor)
        client = self.etcd(await actor.tell_access(self.caller))
        await asyncio.to_thread(client.post, "kv/put", {"key": text(b"k"), "value": text(b"v")})
        token = client._token
        await self.execute(actor, 2)
        found = await asyncio.to_thread(client.post, "kv/range", EVERY_KEY)
        self.assertEqual((found["kvs"][0]["key"], client._token), (text(b"k"), token))
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        self.assertGreater(claims["exp"], 2_000_000_000 + 10 * 365 * 24 * HOUR, "and does not end before they do")

    async def test_a_worker_leaves_it_with_its_credential(self):
        actor = self.actor("Dynamo_ETCD")
        await self.execute(actor)
        own = await actor.tell_access(self.caller)
        await self.post(own, "lease/grant", {"ID": "77", "TTL": "600"})
        for kind, value in (("mdc", {"card_json": {}}), ("instances", {})):
            key = f"v1/{kind}/n/m/generate/{77:x}".encode()
            await self.post(own, "kv/put", {"key": text(key), "value": text(json.dumps(value).encode()), "lease": "77"})
        env = {"ETCD_ENDPOINTS": f"http://127.0.0.1:{self.ports['etcd']},http://127.0.0.1:1"}
        self.assertEqual((await retire.retire(Gateway.of(env), 77, 0), await retire.withdraw(Gateway.of(env), 77)), (0.0, False))
        env |= access.variables({ETCD: own})
        self.assertEqual(await retire.retire(Gateway.of(env), 77, 60), retire.SETTLE)
        self.assertTrue(await retire.withdraw(Gateway.of(env), 77))
        left = [base64.b64decode(kv["key"]) for kv in (await self.post(own, "kv/range", EVERY_KEY))["kvs"]]
        self.assertEqual(left, [b"v1/mdc/n/m/leaving/4d"])

    async def test_it_is_never_open_on_the_address_of_the_node(self):
        """Also while it learns its credential: it listens on loopback then."""
        actor, heard = self.actor("Dynamo_ETCD"), []
        spawn = actor._spawn_once

        def spied(template, resolved):
            process = spawn(template, resolved)
            heard.append(process.argv[process.argv.index(access.LISTEN) + 1])
            return process

        with mock.patch.object(actor, "_spawn_once", spied), mock.patch.object(access, "listens_on", lambda ip: "127.0.0.2"):
            actor._access._ip = "127.0.0.2"
            await self.execute(actor)
            await self.execute(actor, 2)
        port = self.ports["etcd"]
        self.assertEqual(heard, [f"http://127.0.0.1:{port}"], "once: the data know it from then on")
        with socket.socket() as s:
            self.assertNotEqual(s.connect_ex(("127.0.0.1", port)), 0)
        self.assertIn(f"http://127.0.0.2:{port}", actor._execution.process.argv)

    async def test_what_was_open_is_closed_once_nobody_needs_it(self):
        actor = self.actor("Dynamo_ETCD")
        snap = await self.execute(actor, closes=False)
        self.assertEqual((snap["access"], await actor.tell_access(self.caller)), ({}, {}))
        await self.post(None, "kv/put", {"key": text(b"k"), "value": text(b"v")})
        await self.post(None, "auth/user/add", {"name": "root", "password": "mine"})
        snap = await self.execute(actor, 2, closes=False)
        self.assertEqual(snap["access"], {}, "workers run that would be cut off")
        await self.execute(actor, 3)
        own = await actor.tell_access(self.caller)
        for password in ("mine", None):
            with self.assertRaises(OSError):
                await self.post(password and {"user": "root", "password": password}, "kv/range", EVERY_KEY)
        self.assertEqual(len((await self.post(own, "kv/range", EVERY_KEY))["kvs"]), 1)

    async def test_an_end_before_it_has_learned_is_made_good(self):
        actor = self.actor("Dynamo_ETCD")
        with (
            mock.patch.object(access, "_teach", side_effect=ValueError("half done")),
            mock.patch.object(access, "PATIENCE", 0.0),
            self.assertRaises(AssertionError) as failed,
        ):
            await self.execute(actor)
        self.assertIn("ExecFailed", str(failed.exception))
        await self.execute(actor, 2, closes=False)
        with self.assertRaises(OSError):
            await self.post(None, "kv/range", EVERY_KEY)
        os.unlink(self.files()["etcd_key_data"])  # it was ended before it could note that it had
        await self.execute(actor, 3)
        await self.post(await actor.tell_access(self.caller), "kv/range", EVERY_KEY)


class Nats(Services):
    async def test_it_asks_for_the_credential_of_its_first_execution(self):
        first = self.actor("Dynamo_NATS")
        snap = await self.execute(first)
        own = await first.tell_access(self.caller)
        self.assertEqual(snap["access"], {NATS: own["id"]})
        await self.nats(user=own["user"], password=own["password"])
        for how in ({}, {"user": own["user"], "password": "x"}, {"token": own["password"]}):
            with self.subTest(how=list(how)), self.assertRaises(nats.errors.Error):
                await self.nats(**how)
        await first.stop(self.caller, 1)
        await first.clean(self.caller)
        second = self.actor("Dynamo_NATS")
        await self.execute(second, closes=False)
        self.assertEqual(await second.tell_access(self.caller), own, "it lies beside the data")
        await self.nats(user=own["user"], password=own["password"])

    async def test_it_stays_open_for_those_who_have_none(self):
        actor = self.actor("Dynamo_NATS")
        await self.execute(actor, closes=False)
        await self.nats()
        self.assertEqual(self.files(), {})

    async def test_secrets_are_where_nobody_else_reads(self):
        for label in ("Dynamo_ETCD", "Dynamo_NATS"):
            actor = self.actor(label)
            await self.execute(actor)
            own = await actor.tell_access(self.caller)
            told = json.dumps([await actor.describe(self.caller), actor._execution.process.argv])
            self.assertNotIn(own["password"], told + pathlib.Path(actor._paths()[1]).read_text())
        files = self.files()
        self.assertEqual(sorted(files), ["etcd_access_data", "etcd_key_data", "nats_access_data", "nats_config_data"])
        for path in files.values():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path.name)
        self.assertEqual(await self.actors[0].tell_access({"storeId": "another", "incarnation": 9}), {"stale": 1})


GIVEN = {s: {"id": f"id-{s}", "user": "u", "password": f"p-{s}"} for s in (ETCD, NATS)}


class Clients(unittest.IsolatedAsyncioTestCase):
    async def test_what_a_process_is_told(self):
        holder = access.Holder("127.0.0.1")
        t = {"argv": [{"expand": "{py}"}], "env": [{"name": "NATS_AUTH_PASSWORD", "value": "old"}]}
        for request, want in (
            ({}, {"NATS_AUTH_PASSWORD": "old"}),
            ({"access": GIVEN}, {
                "ETCD_AUTH_USERNAME": "u", "ETCD_AUTH_PASSWORD": "p-etcd", "NATS_AUTH_USERNAME": "u", "NATS_AUTH_PASSWORD": "p-nats",
            }),
            ({}, {"ETCD_AUTH_PASSWORD": "p-etcd", "NATS_AUTH_PASSWORD": "p-nats"}),  # of an agent that knows of none
            ({"access": {}}, {"NATS_AUTH_PASSWORD": "old"}),
        ):
            env = {v["name"]: v["value"] for v in (await holder.prepare(t, request, "/rd", None))["env"]}
            with self.subTest(request=sorted(request)):
                self.assertEqual(env, env | want)
                self.assertEqual(set(holder.ids), {s for s in (ETCD, NATS) if env.get(access.VARIABLES[s][0])})

    async def test_when_a_service_may_be_closed(self):
        new, old = types.SimpleNamespace(tell_access=None), types.SimpleNamespace()
        template = infra()["actors"][1]
        for name, handle, snap, silent, want in (
            ("nobody is there", None, {}, False, True),
            ("it does not run", new, {"childPid": 0}, False, True),
            ("it has the credential", new, {"childPid": 7, "access": {NATS: "x"}}, False, True),
            ("it runs without", new, {"childPid": 7}, False, False),
            ("it has that of the other service", new, {"childPid": 7, "access": {ETCD: "x"}}, False, False),
            ("it could not be given one", old, {"childPid": 0}, False, False),
            ("it has not said yet what it is", new, {"childPid": 0}, True, False),
        ):
            unit = UnitView("s", "u", STORE)
            unit.actors["a"] = actor = ActorView("a", {"needs": ["infra/Dynamo_ETCD", "infra/Dynamo_NATS"]})
            actor.handle, actor.silent = handle, silent
            actor.snap.update(snap)
            with self.subTest(name):
                self.assertEqual(job.may_close(types.SimpleNamespace(units={1: unit}), "s", template), want)
                self.assertTrue(job.may_close(types.SimpleNamespace(units={1: unit}), "another", template))

    async def test_who_asks_for_that_of_etcd(self):
        own = GIVEN[ETCD]

        async def tell(_):
            return own

        unit = UnitView("s", "infra", STORE)
        unit.actors["a"] = actor = ActorView("a", infra()["actors"][0])
        world = types.SimpleNamespace(units={1: unit}, access={}, caller=dict, stale=None)
        actor.handle = types.SimpleNamespace(tell_access=types.SimpleNamespace(remote=tell))
        actor.phase, actor.snap["state"] = "", RUNNING
        with mock.patch.object(job, "ask", lambda call, _: call):
            self.assertEqual(await job.answer(world, {"server": "s"}), {}, "it is open")
            actor.snap["access"] = {ETCD: own["id"]}
            self.assertEqual(await job.answer(world, {"server": "s"}), own)
            for request in ({"server": "t"}, {}, {"server": 5}, []):
                self.assertIn("error", await job._reply(world, json.dumps(request).encode()), request)


class Agents(FakeCase):
    """What an agent makes of it, with Ray and NATS in this process."""

    def infra(self):
        t = worker("s", GENERATION, 0, ["nats-server"], label="Dynamo_NATS", name=f"dynamo_s_{GENERATION}_Dynamo_NATS")
        return {**t, "unit": "infra", "model": "", "role": "", "placementGroup": {**t["placementGroup"], "name": "pg_infra"}}

    def worker(self, index: int):
        return worker("s", GENERATION, index, ["x"], needs=["infra/Dynamo_NATS"])

    def password(self, actor) -> str:
        return {v["name"]: v["value"] for v in actor.executed["env"]}.get("NATS_AUTH_PASSWORD", "")

    async def test_every_process_has_that_of_the_service_it_needs(self):
        await self.new_agent()
        server = await self.running(self.infra())
        first = await self.running(self.worker(0))
        await self.kill_agent()
        await self.new_agent()
        second = await self.running(self.worker(1))
        secret = server._access.own["password"]
        self.assertEqual([self.password(first), self.password(second)], [secret, secret])
        server.started[-1].end(1)
        await self.until(lambda: self.state(self.infra()) == "Exited")
        self.start(self.infra(), 2)
        await self.until(lambda: len(server.started) == 2 and self.state(self.infra()) == "Running")
        self.assertEqual(server._access.own["password"], secret)
        told = json.dumps([self.nats.history, self.nats.facts]) + self.output.getvalue()
        self.assertNotIn(secret, told)

    async def test_an_upgrade_cuts_off_nobody(self):
        with mock.patch.object(fakes, "METHODS", [m for m in fakes.METHODS if m != "tell_access"]):  # of the version before
            await self.new_agent()
            with mock.patch.object(job, "may_close", lambda *_: False):
                old = await self.running(self.infra())
                client = await self.running(self.worker(0))
            await self.kill_agent()
        await self.new_agent()
        new_client = await self.running(self.worker(1))
        self.cluster.handles[old._name].die()
        await self.until(lambda: self.state(self.infra()) == "Exited")
        self.start(self.infra(), 2)
        await self.until(lambda: self.state(self.infra()) == "Running")
        server = self.actor(self.infra())
        self.assertIsNot(server, old)
        self.assertEqual((server.executed["argv"], server._access.own), (["nats-server"], None), "both of them run without")
        for t in (self.worker(0), self.worker(1)):
            self.stop(t, 0.1)
        await self.until(lambda: not self.state(self.worker(0)) and not self.state(self.worker(1)))
        server.started[-1].end(1)
        await self.until(lambda: self.state(self.infra()) == "Exited")
        self.start(self.infra(), 3)
        await self.until(lambda: self.state(self.infra()) == "Running")
        self.assertEqual([self.password(a) for a in (client, new_client)], ["", ""])
        self.assertEqual(self.password(await self.running(self.worker(2))), server._access.own["password"], "closed, now that nobody is there")


if __name__ == "__main__":
    unittest.main()
