"""Commands of the reconciler, and which of them are void."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, TypedDict

from .. import PROTOCOL, PROTOCOL_OLDEST
from ..common.messages import Counts, Goals, Origin
from ..common.template import UnitTemplate
from . import templates, values

START, STOP, SWEEP = "start", "stop", "sweep"
TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,64})?\Z")


class Payload(TypedDict, total=False):
    """The protocol's `command` object. Times are in seconds."""

    protocol: int
    storeId: str
    session: str
    deadline: float
    generation: str | None
    gracePeriod: float | None
    template: UnitTemplate
    placement: Counts | None
    attempts: Goals | None
    retires: bool | None
    withheld: bool | None
    ahead: bool | None


@dataclass
class Command:
    """One command."""

    verb: str
    server: str
    unit: str
    generation: str
    epoch: int
    cause_id: str
    payload: Payload
    stored_at: float  # on the server's clock
    attempts: Goals = field(default_factory=dict)
    spec_revision: int = 0
    id: str = ""
    trace_parent: str = ""  # the W3C trace context of who asks, for the log

    @property
    def origin(self) -> Origin:
        """What asks for it, to be kept by the actors."""
        origin: Origin = {
            "verb": self.verb, "causeId": self.cause_id, "epoch": self.epoch, "specRevision": self.spec_revision,
        }
        if self.payload.get("retires"):
            origin["retires"] = True
        return origin

    @property
    def grace(self) -> float:
        """Seconds from SIGTERM on."""
        return float(self.payload.get("gracePeriod") or 0)

    @property
    def template(self) -> UnitTemplate:
        """The unit's template, of a start."""
        return self.payload["template"]

    @property
    def withheld(self) -> bool:
        """Whether the template lacks its secrets, which the stream would keep for days."""
        return self.verb == START and bool(self.payload.get("withheld"))

    @property
    def ahead(self) -> bool:
        """Whether a unit that is made alike waits for this one: to serve, or to leave."""
        return bool(self.payload.get("ahead"))

    @property
    def placement(self) -> Counts:
        """The placement's number and failures, of a start."""
        return counts(self.payload.get("placement"))


def counts(raw: Any) -> Counts:
    """{number, failures} with zeros for what is missing."""
    raw = raw or {}
    return {"number": int(raw.get("number") or 0), "failures": int(raw.get("failures") or 0)}


def _counter(data: dict[str, Any], name: str) -> int:
    value = data.get(name) or 0
    if not values.whole(value, 1 << 64):
        raise ValueError(f"{name} is {str(value)[:40]!r}")
    return value


def _trace_parent(value: Any) -> str:
    return value if isinstance(value, str) and TRACE_PARENT.match(value) else ""


class RefusedProtocol(ValueError):
    """The command is of a version of the protocol that this agent does not speak."""


def _check_protocol(payload: dict[str, Any]) -> None:
    """Raises RefusedProtocol. Nothing else of such a command is looked at: it may mean
    something else there. One that names no version is of the first."""
    version = payload.get("protocol", 1)
    if not values.whole(version, 1 << 31) or not PROTOCOL_OLDEST <= version <= PROTOCOL:
        raise RefusedProtocol(
            f"it is of version {str(version)[:20]} of the protocol, and this agent speaks "
            f"{PROTOCOL_OLDEST} to {PROTOCOL}: "
            "the reconciler that leads brings an agent of its own as soon as Ray takes its job"
        )


def parse(body: bytes, stored_at: float) -> Command:
    """A command from a CloudEvent. Raises ValueError."""
    try:
        event = json.loads(body)
        data, verb = event["data"], event["type"]
        payload = data["command"]
        _check_protocol(payload)
        templates.check_command(payload)
        command = Command(
            verb=verb, server=data["server"], unit=data["unit"], epoch=_counter(data, "epoch"),
            generation=payload.get("generation") or str(data.get("generation") or ""),
            cause_id=str(data.get("causeId") or event.get("id", ""))[:200], payload=payload, stored_at=stored_at,
            spec_revision=_counter(data, "specRevision"), trace_parent=_trace_parent(event.get("traceparent")),
            id=str(event.get("id") or ""),
        )
        if verb == START:
            template = payload["template"]
            templates.check(template)
            command.unit, command.server = template["unit"], template["server"]
            command.generation = template["generation"]
            names = {a["name"] for a in template["actors"]}
            command.attempts = {k: counts(v) for k, v in (payload.get("attempts") or {}).items() if k in names}
        elif verb not in (STOP, SWEEP):
            raise ValueError(f"unknown verb {verb!r}")
        if not values.SERVER.match(command.server) or not values.UNIT.match(command.unit):
            raise ValueError(f"{command.server[:80]!r} {command.unit[:80]!r} is no unit")
        return command
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as err:
        raise ValueError(f"not a command: {repr(err)[:200]}") from err


@dataclass
class Gate:
    """What a command must match: this store, this Ray session, no lower epoch."""

    store_id: str
    session: str
    epoch: int

    def refusal(self, command: Command, now: float) -> str:
        """A constant reason to refuse the command, or "". now: the server's clock."""
        if command.payload.get("storeId") != self.store_id:
            return "RefusedStore"
        if command.payload.get("session") != self.session:
            return "RefusedSession"
        if command.epoch < self.epoch or not values.counter(command.epoch, self.epoch):
            return "RefusedEpoch"
        deadline = float(command.payload.get("deadline") or 0)
        if deadline > 0 and now > command.stored_at + deadline:
            return "RefusedDeadline"
        return ""
