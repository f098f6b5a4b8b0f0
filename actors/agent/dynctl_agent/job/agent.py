"""The agent: takes charge, rebuilds its view from Ray, carries out commands."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ..common.log import log
from . import access, charge, logserve, rescan
from .about import About
from .bus import Bus, Conflict
from .charge import Charge, Superseded
from .config import Config
from .intake import Intake
from .mind import Minder
from .nodes import Nodes
from .observed import ObservedUnit
from .ray_api import Ray
from .rebuild import Stale, discover, forget_unmade, held, remember
from .rescan import Rescan
from .retry import persist
from .roster import Roster
from .standby import Standby
from .survey import Survey
from .warm import Pool
from .world import World

PATIENCE = 60.0  # seconds of tries of one call to NATS while the agent starts


class Agent:
    """See docs/protocol.md, "Start of an agent"."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._bus = Bus()
        self._ray = Ray(config.ray_namespace)
        self._world = World(config, self._ray, self._bus)
        self._roster = Roster(self._world)
        self._nodes = Nodes(self._world)
        self._survey = Survey(self._world, self._nodes)
        self._rescan = Rescan(self._world, self._roster)
        self._charge: Charge
        self._failed: asyncio.Future[str]

    async def run(self) -> int:
        """Until superseded (exit code 0) or until Ray is lost (1)."""
        self._failed = asyncio.get_running_loop().create_future()
        await self._bus.connect(self._config)
        self._charge = Charge(self._config, self._bus, self._ray.session(), self._ray.node_ip())
        about = About(self._config.bin_dirs, self._ray.session())
        about.package, about.session_dir = self._config.programs, self._ray.session_dir()
        about.missed, about.stored = self._world.misses_programs, self._ray.has_package
        self._world.carried = about.carried
        await self._survey.begin(self._ray.node_id())
        pool = Pool(self._world, self._charge)
        self._world.used = pool.used
        self._charge.more = lambda: {**self._world.facts.counts(), **about.value(), "warm": pool.value()}
        self._world.in_charge, self._world.stale = self._charge.check, self._on_stale
        intake = self._intake = Intake(self._world, self._roster, self._rescan, self._charge)
        self._roster.accept = intake.accept
        try:
            await self._await_turn()  # which SIGTERM ends as it ends any process
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminate)
            beat = await self._take_charge()
            await logserve.serve(self._world)
            await access.serve(self._world)
            await pool.serve()
            minder = Minder(self._world, self._roster, self._charge, self._nodes)
            work = [beat, self._nodes.run(), self._survey.run(), intake.run(), self._look_again()]
            work += [self._after_reconnect(), self._refill(), minder.run(), pool.run()]
            ends: list[Any] = [*map(asyncio.ensure_future, work), self._charge.lost, self._failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                if end.done() and end not in (self._charge.lost, self._failed):
                    end.result()  # raises what ended it
            if self._charge.lost.done():
                raise Superseded(self._charge.lost.result())
            reason, code = self._failed.result(), 1
        except Superseded as err:
            reason, code = str(err), 0
        await self._end()
        log("info" if code == 0 else "error", "the agent ends", reason=reason)
        return code

    def _terminate(self) -> None:
        if not self._charge.lost.done():
            self._charge.lost.set_result("SIGTERM: the job was stopped; the units go on")

    async def _end(self) -> None:
        """Stop all that is under way: from here on nothing is written."""
        await self._world.facts.drain()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait([*others, asyncio.ensure_future(asyncio.sleep(0))], timeout=2)
        await self._bus.close()

    # The start.

    async def _await_turn(self) -> None:
        """Until the key was taken, or may be taken from whomever."""
        if not self._config.standby:
            if self._config.succeeds is None:
                return
            try:
                await self._charge.take(newest=self._config.succeeds)
                return
            except Superseded as err:
                log("info", "another agent was faster", reason=str(err))
        await Standby(self._world, self._charge, self._ray.session(), self._ray.node_ip()).wait()

    async def _take_charge(self) -> asyncio.Task[None]:
        above, beat = 0, None
        while True:
            if not self._charge.incarnation:
                await self._charge.take()
            elif above:
                await self._charge.take(above, self._charge.incarnation)
            self._world.incarnation = self._charge.incarnation
            self._world.facts.begin(self._world.incarnation)
            if beat is None:
                beat = asyncio.ensure_future(self._charge.beat())
                beat.add_done_callback(lambda b: b.cancelled() or b.exception())  # lost tells it too
            await self._persist("no consumer yet", self._intake.subscribe)
            await self._charge.check()
            try:
                await self._rebuild()
                break
            except Stale as err:
                # Its actors outlived the bucket in which we counted.
                await self._charge.check()
                above = int(err.args[0])
        self._charge.autoscaling = await self._ray.autoscaling()
        self._charge.synced = not self._charge.emptied.is_set()
        self._charge.kick()
        log("info", "in charge", incarnation=self._world.incarnation, units=len(self._world.units))
        return beat

    async def _persist(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """As persist, for as long as this agent is in charge. An agent that gets nowhere
        ends after a minute: its job's failure is shown, its heartbeats alone would hide it."""
        tries = asyncio.ensure_future(persist(what, call, PATIENCE))
        await asyncio.wait([tries, self._charge.lost], return_when=asyncio.FIRST_COMPLETED)
        if tries.done():
            return tries.result()
        tries.cancel()
        raise Superseded(self._charge.lost.result())

    async def _rebuild(self) -> None:
        old = await self._load()
        found = await discover(self._world, await held(self._ray), set(), set(), [v for v, _ in old.values() if v])
        self._roster.clear()
        for unit in found.units:
            value, _ = old.get(f"unit.{unit.server}.{unit.unit}", (None, 0))
            remember(unit, value, self._config.store_id)
            if not unit.unknown:
                forget_unmade(unit, found.resume.get((unit.server, unit.unit)))
            self._roster.add(unit)
        for added in self._roster.all():
            added.live.tell_unseen()
        await self._report(old)
        for (server, name), command in found.resume.items():
            runner = self._roster.get(server, name)
            if runner is not None:
                runner.submit(command)

    async def _load(self) -> dict[str, tuple[ObservedUnit | None, int]]:
        """What the bucket holds of units, after the nodes have been written over."""
        old = await self._persist("the bucket cannot be read yet", self._read_all)
        for key in [k for k in old if not k.startswith(("unit.", "node."))]:
            await self._delete(key, old.pop(key)[1])
        await self._nodes.load({k: rev for k, (_, rev) in old.items() if k.startswith("node.")})
        return {k: (cast(ObservedUnit | None, v), r) for k, (v, r) in old.items() if k.startswith("unit.")}

    async def _read_all(self) -> dict[str, tuple[dict[str, Any] | None, int]]:
        return {k: await self._bus.read(k) for k in await self._bus.keys() if k != charge.KEY}

    async def _delete(self, key: str, revision: int) -> None:
        """Delete a key that is nobody's. What somebody else writes there meanwhile is the
        minder's to look at."""
        try:
            await self._persist("a key is not deleted yet", lambda: self._bus.delete(key, revision))
        except Conflict:
            pass

    async def _report(self, old: dict[str, tuple[ObservedUnit | None, int]]) -> None:
        """Write all units over what the bucket holds; keys of what is gone are deleted."""
        writers = {r.live.writer.key: r.live.writer for r in self._roster.all()}
        for key, writer in writers.items():
            writer.again(old.get(key, (None, 0))[1])
        for key, (_, revision) in old.items():
            if key not in writers:
                await self._delete(key, revision)
        await asyncio.gather(*(w.flush() for w in writers.values()))

    async def _refill(self) -> None:
        """Report everything again when the bucket has lost it. Until then the key tells that
        not all is there, so that nobody takes what is left for the whole."""
        while True:
            await self._charge.emptied.wait()
            self._charge.emptied.clear()
            log("warn", "the bucket has lost what was reported; all is written again")
            try:
                await self._report(await self._load())
            except Superseded:
                raise
            except Exception as err:  # NATS may be away, or the bucket gone again
                log("warn", "not all is written again yet", error=repr(err)[:300])
                await asyncio.sleep(0.2)
                self._charge.emptied.set()
                continue
            self._charge.synced = not self._charge.emptied.is_set()
            self._charge.kick()

    # While it runs.

    async def _look_again(self) -> None:
        """Find what others have made or removed under our names."""
        while True:
            await asyncio.sleep(rescan.EVERY)
            try:
                await self._rescan.once()
                self._charge.autoscaling = await self._ray.autoscaling()
            except Stale as err:
                self._on_stale(int(err.args[0]))
            except Exception as err:  # the next look may succeed; the nodes' look judges Ray
                log("warn", "no look at what Ray holds", error=repr(err)[:300])

    async def _after_reconnect(self) -> None:
        while True:
            await self._bus.reconnected.wait()
            self._bus.reconnected.clear()
            await self._charge.check()
            self._charge.kick()

    def _on_stale(self, seen: int) -> None:
        """An actor has seen a higher incarnation: whose turn it is says the key."""
        log("warn", "an actor refuses this incarnation", seen=seen, incarnation=self._world.incarnation)
        self._world.spawn(self._end_stale(seen))

    async def _end_stale(self, seen: int) -> None:
        try:
            await self._charge.check()
        except Superseded:
            return
        if not self._failed.done():
            self._failed.set_result(f"an actor has seen incarnation {seen}; restarting above it")
