"""A real Ray head, a real nats-server, and the reconciler's part of the protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any

import nats
from nats.js.api import KeyValueConfig, StreamConfig

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PACKAGE = REPOSITORY / "actors" / "agent"
NAMESPACE = "nemo_curator_dynamo"
STORE = "store-1"
FIRST_PORT = int(os.environ.get("DYNCTL_TEST_PORT", "21000"))


def tool(name: str) -> str:
    """A program of the repository's bin, or of PATH."""
    path = shutil.which(name, path=f"{REPOSITORY / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    if path is None:
        raise RuntimeError(f"{name} is missing: run `make tools`")
    return path


def wait_for_port(port: int, timeout: float) -> None:
    """Until something listens."""
    end = time.monotonic() + timeout
    while not listens(port):
        if time.monotonic() > end:
            raise TimeoutError(f"nothing listens on {port} after {timeout} s")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether somebody does, on this machine."""
    with socket.socket() as s:
        s.settimeout(0.5)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Machines:
    """The servers that tests share; `close` ends what was started, by pid."""

    def __init__(self) -> None:
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dynctl-agent-"))
        self.nats_port, self.gcs_port = FIRST_PORT, FIRST_PORT + 1
        self._logs: list[int] = []
        self.nats: subprocess.Popen | None = None
        self.start_nats()
        p = FIRST_PORT
        self._ray = subprocess.Popen(
            [
                os.path.join(os.path.dirname(sys.executable), "ray"), "start", "--head", "--block",
                f"--port={self.gcs_port}", f"--dashboard-port={p + 2}", f"--ray-client-server-port={p + 3}",
                f"--dashboard-agent-listen-port={p + 4}", f"--dashboard-agent-grpc-port={p + 5}",
                f"--metrics-export-port={p + 6}", f"--min-worker-port={p + 100}", f"--max-worker-port={p + 399}",
                f"--node-manager-port={p + 7}", f"--object-manager-port={p + 8}", "--include-log-monitor=false",
                f"--temp-dir={self.dir / 'ray'}", "--num-cpus=32", "--num-gpus=8", "--object-store-memory=100000000",
                "--node-ip-address=127.0.0.1", "--disable-usage-stats",
            ],
            stdout=self._log("ray"), stderr=subprocess.STDOUT,
            # A busy machine needs longer than Ray's half a minute.
            env={**self._bare_environment(), "RAY_raylet_start_wait_time_s": "180"}, start_new_session=True,
        )
        self.agents: list[subprocess.Popen] = []
        self._wait_for_ray(200)

    def _log(self, name: str) -> int:
        descriptor = os.open(self.dir / f"{name}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        self._logs.append(descriptor)
        return descriptor

    def start_nats(self) -> None:
        """Start nats-server, on the data that it had."""
        if listens(self.nats_port):
            raise RuntimeError(f"port {self.nats_port} is somebody else's: end that, or choose others by DYNCTL_TEST_PORT")
        self.nats = subprocess.Popen(
            [tool("nats-server"), "-a", "127.0.0.1", "-p", str(self.nats_port), "-js", "-sd", str(self.dir / "nats")],
            stdout=self._log("nats"), stderr=subprocess.STDOUT,
        )
        wait_for_port(self.nats_port, 20)

    def _wait_for_ray(self, timeout: float) -> None:
        end, log = time.monotonic() + timeout, self.dir / "ray.log"
        while "will now block" not in log.read_text():
            if self._ray.poll() is not None or time.monotonic() > end:
                text = log.read_text()
                self.close()
                raise RuntimeError(f"Ray did not start:\n{text}")
            time.sleep(0.1)

    @staticmethod
    def _bare_environment() -> dict[str, str]:
        # Without a word a head takes a token that lies in the home directory.
        return {**{k: v for k, v in os.environ.items() if not k.startswith("RAY_")}, "RAY_AUTH_MODE": "disabled"}

    @property
    def environment(self) -> dict[str, str]:
        """For a driver."""
        return {**self._bare_environment(), "RAY_ADDRESS": f"127.0.0.1:{self.gcs_port}", "PYTHONPATH": str(PACKAGE)}

    def start_agent(self, **config: Any) -> subprocess.Popen:
        """An agent as its job would start it."""
        settings = {
            "natsUrl": f"nats://127.0.0.1:{self.nats_port}", "natsCreds": None, "storeId": STORE,
            "rayNamespace": NAMESPACE, "binDirs": [str(REPOSITORY / "bin")], "epoch": 1, **config,
        }
        text = base64.b64encode(json.dumps(settings).encode()).decode()
        name = f"agent-{len(self.agents)}"
        agent = subprocess.Popen(
            [sys.executable, "-m", "dynctl_agent", "--config", text],
            stdout=self._log(name), stderr=subprocess.STDOUT, env=self.environment, cwd=PACKAGE,
        )
        agent.log = self.dir / f"{name}.log"  # type: ignore[attr-defined]
        self.agents.append(agent)
        return agent

    def close(self) -> None:
        """End everything."""
        for p in self.agents:
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.kill()
                p.wait()
        self._ray.terminate()
        try:
            self._ray.wait(20)
        except subprocess.TimeoutExpired:
            self._ray.kill()
        if self.nats is not None:
            self.nats.kill()
            self.nats.wait()
        for descriptor in self._logs:
            os.close(descriptor)
        if not os.environ.get("DYNCTL_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


async def quiet(_: Exception) -> None:
    """Tests take NATS away; that it is away is no news."""


class Reconciler:
    """Says commands and reads what is observed."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self.units: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.agent: dict[str, Any] = {}
        self.facts: list[dict[str, Any]] = []
        self.history: list[tuple] = []  # (seconds, key, value or None)
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Connect, make buckets and stream, watch."""
        self.nc = await nats.connect(f"nats://127.0.0.1:{self._machines.nats_port}", max_reconnect_attempts=-1, error_cb=quiet)
        self.js = self.nc.jetstream()
        self.kv = await self.js.create_key_value(KeyValueConfig(bucket="dynctl_observed", history=1))
        await self.js.add_stream(StreamConfig(name="DYNCTL_EVENTS", subjects=["dynctl.events.>"], duplicate_window=120))
        self._watcher = await self.kv.watchall()
        self._watch = asyncio.ensure_future(self._follow())
        await self.nc.subscribe("dynctl.events.>", cb=self._event)

    async def refresh(self) -> None:
        """Read the bucket: what was written while this side was away is not told."""
        for key in await self.kv.keys():
            self._observe(key, json.loads((await self.kv.get(key)).value))

    async def close(self) -> None:
        """Disconnect."""
        self._watch.cancel()
        await self.nc.close()

    async def _follow(self) -> None:
        # What is stored, not what is published: a write that lost the race is no news.
        async for entry in self._watcher:
            if entry is not None:
                self._observe(entry.key, None if entry.operation else json.loads(entry.value))

    def _observe(self, key: str, value: dict[str, Any] | None) -> None:
        self.history.append((time.time(), key, value))
        kind, _, rest = key.partition(".")
        if kind == "agent":
            self.agent = value or {}
        table = self.units if kind == "unit" else self.nodes
        if kind in ("unit", "node"):
            table[rest] = value
            if value is None:
                table.pop(rest)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _event(self, msg: Any) -> None:
        event = json.loads(msg.data)
        if "command" not in event["data"]:
            self.facts.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], Any], timeout: float = 30.0) -> Any:
        """What condition() answers once that is true."""
        end = time.monotonic() + timeout
        while True:
            answer = condition()
            if answer:
                return answer
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout} s; units: {json.dumps(self.units)[:3000]}")
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                pass

    async def synced(self, incarnation: int = 0) -> int:
        """Until an agent of at least that incarnation is synced."""
        await self.until(lambda: self.agent.get("synced") and self.agent["incarnation"] >= incarnation, 180)
        return self.agent["incarnation"]

    async def command(self, verb: str, server: str, unit: str, payload: dict[str, Any], **data: Any) -> str:
        """Publish one command; the fields of the protocol are filled in."""
        message_id = uuid.uuid4().hex
        body = {
            "server": server, "model": "", "unit": unit, "generation": "", "specRevision": 1, "epoch": self.agent["epoch"] or 1,
            "causeId": f"test@{message_id[:6]}", "reason": "Test", "message": "", **data,
            "command": {"storeId": STORE, "session": self.agent["session"], "deadline": 30, **payload},
        }
        event = {
            "specversion": "1.0", "id": message_id, "type": verb, "source": "test", "subject": unit,
            "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json", "data": body,
        }
        await self.js.publish(f"dynctl.events.{server}.{verb}.{unit}", json.dumps(event).encode())
        return message_id

    async def start(self, template: dict[str, Any], number: int = 1, **data: Any) -> None:
        """A start with that attempt for all actors."""
        payload = {
            "template": template, "placement": {"number": 1, "failures": 0},
            "attempts": {a["name"]: {"number": number, "failures": number - 1} for a in template["actors"]},
        }
        await self.command("start", template["server"], template["unit"], payload, **data)

    async def stop(self, template: dict[str, Any], grace: float = 5.0, verb: str = "stop") -> None:
        """A stop (or sweep)."""
        payload = {"gracePeriod": grace, "generation": template["generation"]}
        await self.command(verb, template["server"], template["unit"], payload)

    def state(self, template: dict[str, Any]) -> str:
        """The unit's state, "" when it is gone."""
        return self.units.get(f"{template['server']}.{template['unit']}", {}).get("state", "")

    def actor(self, template: dict[str, Any], index: int = 0) -> dict[str, Any]:
        """The observed actor of a unit."""
        unit = self.units.get(f"{template['server']}.{template['unit']}") or {"actors": []}
        name = template["actors"][index]["name"]
        return next((a for a in unit["actors"] if a["name"] == name), {})

    async def running(self, template: dict[str, Any], timeout: float = 60.0) -> dict[str, Any]:
        """Until the unit runs; its first actor."""
        await self.until(lambda: self.state(template) == "Running", timeout)
        return self.actor(template)


def worker(server: str, generation: str, index: int, argv: list[Any], **fields: Any) -> dict[str, Any]:
    """The template of a one-actor unit."""
    slug = "m"
    label = f"Dynamo_DP{index}_{slug}"
    actor = {
        "name": f"dynamo_{server}_{generation}_{label}", "label": label, "bundle": 0, "gpus": 0, "cpus": 1,
        "argv": argv, "env": [], "ports": [], "health": {"kind": "none"}, "startupTimeout": 30,
        "terminationGracePeriod": 5, "digest": "d1", **fields,
    }
    return {
        "server": server, "unit": f"{generation}_{slug}_DP{index}", "model": "m", "role": "aggregated",
        "replica": index, "worker": index, "generation": generation, "rayNamespace": NAMESPACE,
        "placementGroup": {
            "name": f"dynamo_{server}_{generation}_pg_{slug}_DP{index}", "strategy": "STRICT_PACK",
            "bundles": [{"CPU": 1, "GPU": actor["gpus"]} if actor["gpus"] else {"CPU": 1}],
        },
        "placementTimeout": 60, "actors": [actor], "digest": f"u-{generation}-{index}",
    }


def two_ranks(t: dict[str, Any]) -> dict[str, Any]:
    """The same unit over two bundles, with one actor in each."""
    first = t["actors"][0]
    t["actors"].append({**first, "name": first["name"].replace("DP0", "DP0_TP1"), "bundle": 1})
    t["placementGroup"]["bundles"] = [{"CPU": 1}] * 2
    return t


def http_worker(server: str, generation: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    """A worker that is ready once it answers over HTTP."""
    argv = [{"expand": "{py}"}, "-m", "http.server", {"expand": f"{{port:{generation}_m_DP{index}/system}}"}]
    rest = {
        "ports": [{"name": "system", "seed": FIRST_PORT + 500}],
        "health": {"kind": "http", "port": "system", "path": "/"}, **fields,
    }
    return worker(server, generation, index, argv, **rest)
