"""An agent against Ray and NATS in this process (fakes.py, fakenats.py). It runs as it is, in a thread
with a loop of its own, so that it can die at a chosen moment."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
import time
import types
import unittest
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any
from unittest import mock

from dynctl_agent.job import agent as agent_module
from dynctl_agent.job import intake, rebuild, rescan
from dynctl_agent.job.config import Config

from .cluster import NAMESPACE, STORE
from .fakenats import FakeBus, Nats
from .fakes import SESSION, Cluster, FakeActor


def hushed(case: unittest.TestCase) -> io.StringIO:
    """What is printed until the end of a test."""
    output = io.StringIO()
    redirected = contextlib.redirect_stdout(output)  # enterContext is not in Python 3.10
    redirected.__enter__()
    case.addCleanup(redirected.__exit__, None, None, None)
    return output


class AgentThread:
    """An agent that can be killed, as its process would be."""

    def __init__(self, cluster: Cluster, nats: Nats) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.add_signal_handler = lambda *_: None  # type: ignore[assignment]
        self.ended: Future[Any] = Future()
        self._thread = threading.Thread(target=self._run, args=(cluster, nats), daemon=True)
        self._thread.start()

    def _run(self, cluster: Cluster, nats: Nats) -> None:
        asyncio.set_event_loop(self._loop)
        config = Config(nats_url="", store_id=STORE, ray_namespace=NAMESPACE, epoch=1)

        async def run() -> Any:
            with (
                mock.patch.object(agent_module, "Ray", lambda _: cluster),
                mock.patch.object(agent_module, "Bus", lambda: FakeBus(nats)),
            ):
                self.agent = agent_module.Agent(config)
            return await self.agent.run()

        self._main = self._loop.create_task(run())
        try:
            self.ended.set_result(self._loop.run_until_complete(self._main))
        except BaseException as err:  # pylint: disable=broad-except
            self.ended.set_exception(err)
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=1))

    async def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Something on its loop, beside what it does."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """After the last call that it made has been answered."""
        self.kill()
        self._loop.close()

    def kill(self) -> None:
        """Nothing of it runs any more."""

        def cancel() -> None:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()

        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(cancel)
        self._thread.join(10)
        assert not self._thread.is_alive()


class FakeCase(unittest.IsolatedAsyncioTestCase):
    """An agent with a cluster and a store; short patience."""

    async def asyncSetUp(self) -> None:
        self.cluster, self.nats = Cluster(), Nats()
        self.addCleanup(self.cluster.close)
        patience = ((rebuild, "DESCRIBE_TIMEOUT", 0.3), (rescan, "EVERY", 0.1), (intake, "FETCH_TIMEOUT", 0.2))
        for module, name, value in patience:
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.agents: list[AgentThread] = []
        self.output = hushed(self)

    async def asyncTearDown(self) -> None:
        for agent in self.agents:
            await asyncio.to_thread(agent.close)

    async def until(self, condition: Callable[[], Any], timeout: float = 10.0) -> Any:
        """What condition() answers once that is true."""
        end = time.monotonic() + timeout
        while not (answer := condition()):
            if time.monotonic() > end:
                self.fail(f"not within {timeout} s; the bucket: {self.nats.bucket}")
            await asyncio.sleep(0.005)
        return answer

    async def new_agent(self) -> AgentThread:
        """One more agent, in charge."""
        before = (self.nats.get("agent") or {}).get("incarnation", 0)
        self.agents.append(AgentThread(self.cluster, self.nats))
        await self.until(lambda: (a := self.nats.get("agent")) and a["incarnation"] > before and a["synced"])
        return self.agents[-1]

    async def kill_agent(self) -> None:
        """The last one."""
        await asyncio.to_thread(self.agents[-1].kill)

    def command(self, verb: str, template: dict[str, Any], payload: dict[str, Any], **event: Any) -> None:
        """One command in the stream."""
        self.send(json.dumps({**self.event(verb, template, payload), **event}).encode())

    def event(self, verb: str, template: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
        """The event of a command."""
        data = {
            "server": template["server"], "unit": template["unit"], "epoch": 1, "specRevision": 7, "causeId": "cause", "reason": "Why",
            "command": {"storeId": STORE, "session": SESSION, "deadline": 30, **payload},
        }
        return {"type": verb, "id": uuid.uuid4().hex, "data": data}

    def send(self, body: bytes) -> None:
        """Whatever it is, in the stream."""
        stamp = types.SimpleNamespace(timestamp=time.time)
        sequence = types.SimpleNamespace(stream=len(self.nats.messages) + 1)

        async def ack() -> None:
            message.acked = True

        message = types.SimpleNamespace(
            data=body, subject="", ack=ack, acked=False, metadata=types.SimpleNamespace(timestamp=stamp, sequence=sequence)
        )
        self.nats.messages.append(message)

    def start(self, template: dict[str, Any], number: int = 1) -> None:
        """A start with that attempt for all actors."""
        attempts = {a["name"]: {"number": number, "failures": number - 1} for a in template["actors"]}
        self.command("start", template, {"template": template, "placement": {"number": 1, "failures": 0}, "attempts": attempts})

    def stop(self, template: dict[str, Any], grace: float, verb: str = "stop") -> None:
        """A stop (or sweep)."""
        self.command(verb, template, {"gracePeriod": grace, "generation": template["generation"]})

    def unit(self, template: dict[str, Any]) -> dict[str, Any]:
        """What is observed of a unit; {} when it is gone."""
        return self.nats.get(f"unit.{template['server']}.{template['unit']}") or {}

    def state(self, template: dict[str, Any]) -> str:
        """Its state."""
        return self.unit(template).get("state", "")

    async def running(self, template: dict[str, Any]) -> FakeActor:
        """Start a unit; its first actor."""
        self.start(template)
        await self.until(lambda: self.state(template) == "Running")
        return self.actor(template)

    def actor(self, template: dict[str, Any], index: int = 0) -> FakeActor:
        """The actor itself."""
        return self.cluster.handles[template["actors"][index]["name"]].actor  # type: ignore[return-value]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The facts of a type."""
        return [f["data"] for f in self.nats.facts if f["type"] == kind]
