"""The agent: takes charge, rebuilds its view from Ray, carries out commands."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from ..common.log import log
from . import charge, logserve, silent
from .about import About
from .bus import Bus, Conflict
from .charge import Charge, Superseded
from .commands import START, STOP, SWEEP, Command, Gate, parse
from .config import Config
from .makers import Makers
from .mind import Minder
from .nodes import Nodes
from .ray_api import Ray
from .rebuild import INFRA, Stale, discover, forget_unmade, remember
from .retry import TROUBLE, persist
from .runner import Runner
from .survey import Survey
from .units import UnitView
from .world import World

FETCH_TIMEOUT = 5.0
RESCAN_EVERY = 3.0
PATIENCE = 60.0  # seconds of tries of one call to NATS while the agent starts


class Agent:
    """See docs/protocol.md, "Start of an agent"."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._bus = Bus()
        self._ray = Ray(config.ray_namespace)
        self._world = World(config, self._ray, self._bus)
        self._nodes = Nodes(self._world)
        self._survey = Survey(self._world, self._nodes)
        self._charge: Charge
        self._last_sequence = 0
        self._failed: asyncio.Future[str]

    async def run(self) -> int:
        """Until superseded (exit code 0) or until Ray is lost (1)."""
        self._failed = asyncio.get_running_loop().create_future()
        await self._bus.connect(self._config)
        self._charge = Charge(self._config, self._bus, self._ray.session(), self._ray.node_ip())
        about = About(self._config.bin_dirs)
        await self._survey.begin(self._ray.node_id())
        self._charge.more = lambda: {**self._world.facts.counts(), **about.value()}
        self._world.in_charge, self._world.stale = self._charge.check, self._on_stale
        self._world.accept = self._accept
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminate)
        try:
            beat = await self._take_charge()
            await logserve.serve(self._world)
            minder = Minder(self._world, self._charge, self._nodes)
            work = [beat, self._nodes.run(), self._survey.run(), self._read_commands(), self._rescan()]
            work += [self._after_reconnect(), self._refill(), minder.run()]
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

    async def _take_charge(self) -> asyncio.Task[None]:
        above, beat = 0, None
        while True:
            await self._charge.take(above)
            self._world.incarnation = self._charge.incarnation
            if beat is None:
                beat = asyncio.ensure_future(self._charge.beat())
                beat.add_done_callback(lambda b: b.cancelled() or b.exception())  # lost tells it too
            name = f"agent-{self._world.incarnation}"
            self._subscription = await self._persist("no consumer yet", functools.partial(self._bus.subscribe, name, 0))
            await self._charge.check()
            try:
                await self._rebuild()
                break
            except Stale as err:
                # Its actors outlived the bucket in which we counted.
                await self._charge.check()
                above = int(err.args[0])
        self._world.facts.begin(self._world.incarnation)
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
        found = await discover(self._world, set(), set(), [v for v, _ in old.values() if v])
        self._world.units.clear()
        for unit in found.units:
            value, _ = old.get(f"unit.{unit.server}.{unit.unit}", (None, 0))
            remember(unit, value, self._config.store_id)
            if not unit.unknown:
                forget_unmade(unit, found.resume.get((unit.server, unit.unit)))
            self._add(unit)
        await self._report(old)
        for unit_key, command in found.resume.items():
            self._world.units[unit_key].submit(command)

    async def _load(self) -> dict[str, tuple[dict[str, Any] | None, int]]:
        """What the bucket holds of units, after the nodes have been written over."""
        old = await self._persist("the bucket cannot be read yet", self._read_all)
        for key in [k for k in old if not k.startswith(("unit.", "node."))]:
            await self._delete(key, old.pop(key)[1])
        await self._nodes.load({k: rev for k, (_, rev) in old.items() if k.startswith("node.")})
        return {k: v for k, v in old.items() if k.startswith("unit.")}

    async def _read_all(self) -> dict[str, tuple[dict[str, Any] | None, int]]:
        return {k: await self._bus.read(k) for k in await self._bus.keys() if k != charge.KEY}

    async def _delete(self, key: str, revision: int) -> None:
        """Delete a key that is nobody's. What somebody else writes there meanwhile is the
        minder's to look at."""
        try:
            await self._persist("a key is not deleted yet", lambda: self._bus.delete(key, revision))
        except Conflict:
            pass

    async def _report(self, old: dict[str, tuple[dict[str, Any] | None, int]]) -> None:
        """Write all units over what the bucket holds; keys of what is gone are deleted."""
        runners = {f"unit.{server}.{unit}": r for (server, unit), r in self._world.units.items()}
        for key, runner in runners.items():
            runner.writer.again(old.get(key, (None, 0))[1])
        for key, (_, revision) in old.items():
            if key not in runners:
                await self._delete(key, revision)
        await asyncio.gather(*(r.writer.flush() for r in runners.values()))

    async def _refill(self) -> None:
        """Report everything anew when the bucket has lost it. Until then the key says that
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

    def _add(self, unit: UnitView) -> Runner:
        runner = Runner(self._world, unit)
        self._world.units[(unit.server, unit.unit)] = runner
        for actor in unit.actors.values():
            if actor.live and hasattr(actor.handle, "wait") and not unit.foreign:
                runner.watch(actor)
        silent.attend(runner)
        return runner

    # While it runs.

    async def _rescan(self) -> None:
        """Find what others have made or removed under our names."""
        while True:
            await asyncio.sleep(RESCAN_EVERY)
            try:
                await self._rescan_once()
                self._charge.autoscaling = await self._ray.autoscaling()
            except Stale as err:
                self._on_stale(int(err.args[0]))
            except Exception as err:  # the next look may succeed; the nodes' look judges Ray
                log("warn", "no look at what Ray holds", error=repr(err)[:300])

    async def _rescan_once(self) -> None:
        held = [(r, r.unit.group_handle) for r in list(self._world.units.values())]
        rows = {r["placement_group_id"]: r for r in await self._ray.groups()}
        names, makers = set(await self._ray.actor_names()), Makers(self._ray)
        for runner, handle in held:
            unit = runner.unit
            if handle is not None and unit.group_handle is handle:
                runner.take_group_row(rows.get(handle.id.hex(), {}))
            if unit.foreign and not unit.stopping:
                await self._look_at_foreign(runner, names, makers)
        found = await discover(self._world, *self._known())
        for key in found.grown:
            if key in self._world.units:
                self._world.units[key].changed()
        actors, groups = self._known()
        for unit in found.units:
            # What has begun since the look is known better by its own runner.
            if not actors & set(unit.actors) and unit.group["name"] not in groups:
                for bare in [r for r in self._bare() if r.unit.group["name"] == unit.group["name"]]:
                    await bare.forget()
                self._add(unit).changed()

    def _known(self) -> tuple[set[str], set[str]]:
        runners, bare = self._world.units.values(), self._bare()
        actors = {a for r in runners for a in r.unit.actors}
        return actors, {r.unit.group["name"] for r in runners if r.unit.group["name"] and r not in bare}

    def _bare(self) -> list[Runner]:
        """Groups in which no actor was found yet that could say whose they are."""
        return [
            r
            for r in self._world.units.values()
            if r.unit.foreign and not r.unit.actors and not r.unit.stopping and not r.busy
        ]

    async def _look_at_foreign(self, runner: Runner, names: set[str], makers: Makers) -> None:
        unit = runner.unit
        for name in [n for n in unit.actors if n not in names]:
            del unit.actors[name]
            unit.makers.pop(name, None)
            runner.changed()
        if unit.group.get("state") == "REMOVED":
            unit.makers.pop(unit.group["name"], None)
        if unit.job_alive and unit.makers and await makers.judge(unit):
            runner.changed()
        if not unit.actors and unit.group.get("state", "REMOVED") == "REMOVED":
            await runner.forget()

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
            self._failed.set_result(f"an actor has seen incarnation {seen}; starting anew above it")

    # Commands.

    async def _read_commands(self) -> None:
        while True:
            try:
                messages = await self._subscription.fetch(1, timeout=FETCH_TIMEOUT)
            except asyncio.TimeoutError:
                continue
            except Exception as err:
                log("warn", "the consumer is gone; making it again", error=repr(err))
                await asyncio.sleep(0.5)
                await self._subscribe_again()
                continue
            for message in messages:
                await self._handle(message)

    async def _subscribe_again(self) -> None:
        try:
            await self._charge.check()
            name = f"agent-{self._world.incarnation}"
            self._subscription = await self._bus.subscribe(name, self._last_sequence)
        except Superseded:
            raise
        except TROUBLE as err:
            log("warn", "no consumer yet", error=repr(err))

    async def _handle(self, message: Any) -> None:
        await self._charge.confirm()
        self._last_sequence = message.metadata.sequence.stream
        try:
            command = parse(message.data, message.metadata.timestamp.timestamp())
        except ValueError as err:
            log("error", "a command that cannot be read", subject=message.subject, error=str(err)[:300])
            await message.ack()
            return
        refusal = self._gate().refusal(command, self._bus.server_time())
        fields = {"unit": f"{command.server}/{command.unit}", "causeId": command.cause_id, "epoch": command.epoch}
        fields["traceparent"] = command.trace_parent
        if refusal:
            log("warn", f"{command.verb} refused", reason=refusal, **fields)
            await message.ack()
            return
        log("info", command.verb, **fields)
        self._charge.saw_epoch(command.epoch)
        if command.withheld and not await self._complete(command):
            log("warn", "nobody tells what the command withholds; it comes again", **fields)
            return
        if not await self._looked(command):
            return  # not acknowledged, so it comes again
        if command.verb == START and self._taken(command):
            log("warn", "others hold names of a server that has nothing yet; they are judged first", **fields)
            await message.ack()
            return
        try:
            runner = self._accept(command)
        except Superseded:
            raise
        except Exception as err:  # whatever it was, the next command is another one
            log("error", "a command that cannot be carried out", error=repr(err)[:300], **fields)
            runner = None
        self._world.spawn(self._acknowledge(message, runner))

    async def _complete(self, command: Command) -> bool:
        """Ask the reconciler for the whole template of a start."""
        template = await self._bus.withheld(command.id)
        if not template or template.get("digest") != command.template.get("digest"):
            return False
        command.payload["template"] = template
        return True

    async def _looked(self, command: Command) -> bool:
        """Look at Ray again where the last look may be too old: for a unit to sweep that
        is not known, and before the first unit of a server, for what a driver left behind
        a moment ago has to be swept before it."""
        if command.verb == SWEEP:
            known = (command.server, command.unit) in self._world.units
        else:
            known = command.verb != START or self._units_of(command.server) != []
        if known:
            return True
        try:
            await self._rescan_once()
        except Stale as err:
            self._on_stale(int(err.args[0]))
            return False
        except Exception as err:  # Ray may be busy
            log("warn", "no look at what Ray holds", error=repr(err)[:300])
            return False
        return True

    def _units_of(self, server: str) -> list[UnitView]:
        return [r.unit for r in self._world.units.values() if r.unit.server == server]

    def _taken(self, command: Command) -> bool:
        """True if all that stands under the server's names is somebody else's."""
        units = self._units_of(command.server)
        return bool(units) and all(u.foreign for u in units)

    def _gate(self) -> Gate:
        return Gate(self._config.store_id, self._ray.session(), self._charge.epoch)

    def _accept(self, command: Command) -> Runner | None:
        """Hand a command to its unit; the unit whose first report comes before the ack."""
        runner = self._world.units.get((command.server, command.unit))
        if command.verb == START:
            return self._accept_start(command, runner)
        if runner is None or (command.generation and runner.unit.generation not in ("", command.generation)):
            log("info", "nothing to stop", unit=command.unit, causeId=command.cause_id)
            return None
        if command.verb == STOP and runner.unit.store_id != self._config.store_id:
            log("warn", "not ours; sweep it", unit=command.unit, storeId=runner.unit.store_id)
            return None
        runner.submit(command)
        return None

    def _accept_start(self, command: Command, runner: Runner | None) -> Runner | None:
        wanted = command.template["placementGroup"]["name"]
        if runner is not None and runner.unit.group.get("name") not in ("", wanted) and command.unit == INFRA:
            self._rename(runner)
            runner = None
        if runner is not None and runner.unit.store_id != self._config.store_id:
            log("warn", "the name is taken by others; sweep them", unit=command.unit, storeId=runner.unit.store_id)
            return None
        created = runner is None
        if runner is None:
            unit = UnitView(command.server, command.unit, self._config.store_id)
            unit.identify(command.template, command.placement)
            runner = self._add(unit)
            runner.changed()
        runner.submit(command)
        return runner if created else None

    def _rename(self, runner: Runner) -> None:
        """An older generation's infra unit makes room for the one that is wanted."""
        unit = runner.unit
        self._world.units.pop((unit.server, unit.unit), None)
        runner.move(f"{unit.generation}_{INFRA}")
        self._world.units[(unit.server, unit.unit)] = runner

    async def _acknowledge(self, message: Any, runner: Runner | None) -> None:
        if runner is not None:
            await runner.writer.flush()
        await message.ack()
