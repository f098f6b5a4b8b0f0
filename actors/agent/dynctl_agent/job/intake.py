"""Takes the commands from the stream: each is judged, handed to its unit and acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

from ..common.log import log
from .charge import Charge, Superseded
from .commands import START, STOP, SWEEP, Command, Gate, RefusedProtocol, parse
from .rebuild import INFRA, Stale
from .rescan import Rescan
from .retry import TROUBLE
from .roster import Roster
from .runner import Runner
from .units import UnitView
from .world import World

FETCH_TIMEOUT = 5.0


class Intake:
    """Reads one after another, for as long as this agent is in charge."""

    def __init__(self, world: World, roster: Roster, rescan: Rescan, charge: Charge) -> None:
        self._world, self._roster, self._rescan, self._charge = world, roster, rescan, charge
        self._subscription: Any = None
        self._last_sequence = 0

    async def subscribe(self) -> None:
        """Read on from here, or from the last command that was read."""
        name = f"agent-{self._world.incarnation}"
        self._subscription = await self._world.bus.subscribe(name, self._last_sequence)

    async def run(self) -> None:
        """For ever. Raises Superseded."""
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
            await self.subscribe()
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
            reason = type(err).__name__ if isinstance(err, RefusedProtocol) else "NotACommand"
            log("error", "a command that cannot be read", reason=reason, subject=message.subject, error=str(err)[:300])
            await message.ack()
            return
        refusal = self._gate().refusal(command, self._world.bus.server_time())
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
            runner = self.accept(command)
        except Superseded:
            raise
        except Exception as err:  # whatever it was, the next command is another one
            log("error", "a command that cannot be carried out", error=repr(err)[:300], **fields)
            runner = None
        self._world.spawn(self._acknowledge(message, runner))

    async def _complete(self, command: Command) -> bool:
        """Ask the reconciler for the whole template of a start."""
        template = await self._world.bus.withheld(command.id)
        if not template or template.get("digest") != command.template.get("digest"):
            return False
        command.payload["template"] = template
        return True

    async def _looked(self, command: Command) -> bool:
        """Look at Ray again where the last look may be too old: for a unit to sweep that
        is not known, and before the first unit of a server, for what a driver left behind
        a moment ago has to be swept before it."""
        if command.verb == SWEEP:
            known = self._roster.get(command.server, command.unit) is not None
        else:
            known = command.verb != START or self._units_of(command.server) != []
        if known:
            return True
        try:
            await self._rescan.once()
        except Stale as err:
            self._world.stale(int(err.args[0]))
            return False
        except Exception as err:  # Ray may be busy
            log("warn", "no look at what Ray holds", error=repr(err)[:300])
            return False
        return True

    def _units_of(self, server: str) -> list[UnitView]:
        return [u for u in self._world.units.values() if u.server == server]

    def _taken(self, command: Command) -> bool:
        """True if all that stands under the server's names is somebody else's."""
        units = self._units_of(command.server)
        return bool(units) and all(u.foreign for u in units)

    def _gate(self) -> Gate:
        return Gate(self._world.config.store_id, self._world.ray.session(), self._charge.epoch)

    def accept(self, command: Command) -> Runner | None:
        """Hand a command to its unit; the unit whose first report comes before the ack."""
        runner = self._roster.get(command.server, command.unit)
        if command.verb == START:
            return self._accept_start(command, runner)
        if runner is None or (command.generation and runner.unit.generation not in ("", command.generation)):
            log("info", "nothing to stop", unit=command.unit, causeId=command.cause_id)
            return None
        if command.verb == STOP and runner.unit.store_id != self._world.config.store_id:
            log("warn", "not ours; sweep it", unit=command.unit, storeId=runner.unit.store_id)
            return None
        runner.submit(command)
        return None

    def _accept_start(self, command: Command, runner: Runner | None) -> Runner | None:
        wanted = command.template["placementGroup"]["name"]
        if runner is not None and runner.unit.group.get("name") not in ("", wanted) and command.unit == INFRA:
            # An older generation's makes room for the one that is wanted.
            self._roster.rename(runner, f"{runner.unit.generation}_{INFRA}")
            runner = None
        if runner is not None and runner.unit.store_id != self._world.config.store_id:
            log("warn", "the name is taken by others; sweep them", unit=command.unit, storeId=runner.unit.store_id)
            return None
        created = runner is None
        if runner is None:
            unit = UnitView(command.server, command.unit, self._world.config.store_id)
            unit.identify(command.template, command.placement)
            runner = self._roster.add(unit)
            runner.live.changed()
        runner.submit(command)
        return runner if created else None

    async def _acknowledge(self, message: Any, runner: Runner | None) -> None:
        if runner is not None:
            await runner.live.writer.flush()
        await message.ack()
