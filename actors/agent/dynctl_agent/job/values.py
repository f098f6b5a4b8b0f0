"""What stands in the bucket, read with suspicion: whoever has the rights may write
anything under any key, and it may cost that key only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeGuard

from ..common.log import parse_time

MAX_BYTES = 512 << 10
MAX_DEPTH = 64
# A string, also one that does not end, or else each quote in it would have the rest read again;
# or where something begins or ends.
TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
MAX_COUNT = 1 << 30
# Epochs and incarnations (state/check.go): none is above, and none so far above the last.
MAX_COUNTER = 1 << 53
MAX_STEP = 1 << 20
MAX_DIGITS = 19

SERVER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
UNIT = re.compile(r"[-/_=.a-zA-Z0-9]{1,255}\Z")
STATES = ("Pending", "Placing", "Waiting", "Starting", "Running", "Exited", "Stopping")


class Unreadable(ValueError):
    """Why a value is set aside, in one line."""


class Garbage(dict[str, Any]):
    """Stands for a value that was set aside: there is something, and it says nothing."""


def counter(value: Any, last: int = 0) -> TypeGuard[int]:
    """Whether it can be an epoch or incarnation; last: the highest known, 0: none is."""
    return whole(value, MAX_COUNTER) and (not last or value <= last + MAX_STEP)


def whole(value: Any, most: int = MAX_COUNT) -> TypeGuard[int]:
    """Whether it is a whole number from 0 to most."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def decode(data: bytes) -> dict[str, Any]:
    """A JSON object within bounds. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"{len(data)} bytes; at most {MAX_BYTES} are read")
    if _too_deep(data):
        raise Unreadable(f"its values lie more than {MAX_DEPTH} deep in each other")
    try:
        value = json.loads(data.decode(), parse_constant=_no_number, parse_int=_int)
    except (ValueError, RecursionError) as err:
        raise Unreadable(str(err)[:200]) from err
    if not isinstance(value, dict):
        raise Unreadable("it is no JSON object")
    return value


def read(key: str, data: bytes) -> dict[str, Any]:
    """The value of a key, of which everything that the agent uses is what it should
    be. Raises Unreadable."""
    value = decode(data)
    if key == "agent":
        _agent(value)
    elif key.startswith("unit."):
        _unit(key, value)
    elif key.startswith("node."):
        if value.get("id") != key[len("node.") :]:
            raise Unreadable("it says that it is another node")
    else:
        raise Unreadable("no key of this bucket")
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _too_deep(data: bytes) -> bool:
    """Whether objects and lists lie too deep in each other, in what may be JSON. Nothing is
    read beyond the first place where they do."""
    depth = 0
    for token in TOKEN.finditer(data):
        c = token.group()[:1]
        if c in b"[{":
            depth += 1
        elif c in b"]}":
            depth -= 1
        if not 0 <= depth <= MAX_DEPTH:
            return depth > 0  # what ends before it begins is no JSON, as its parser says
    return False


def _agent(value: dict[str, Any]) -> None:
    if not counter(value.get("incarnation")) or not value["incarnation"]:
        raise Unreadable("incarnation is none")
    if not counter(value.get("epoch", 0)):
        raise Unreadable("epoch is none")


# What is read from a unit that was reported (units.py recall, rebuild.py), by field.
Rule = Callable[[Any], bool]


def text(value: Any) -> bool:
    """Whether it is one."""
    return isinstance(value, str)


def _time(value: Any) -> bool:
    try:
        return value == "" or (isinstance(value, str) and parse_time(value) > 0)
    except (ValueError, OverflowError, OSError):
        return False


def _lease(value: Any) -> bool:
    return whole(value, 1 << 63)


def texts(value: Any) -> bool:
    """Whether it is an object of texts."""
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _ports(value: Any) -> bool:
    return isinstance(value, dict) and all(whole(v, 65535) for v in value.values())


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _code(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31


UNIT_FIELDS: dict[str, Rule] = {
    "incarnation": counter,
    "storeId": text,
    "model": text,
    "role": text,
    "generation": text,
    "digest": text,
    "restart": text,
    "replica": whole,
    "worker": whole,
    "attempt": whole,
    "failures": whole,
    "placementTimeout": _number,
    "state": lambda v: v in STATES,
    "changedAt": _time,
}
ACTOR_FIELDS: dict[str, Rule] = {
    "bundle": whole, "state": lambda v: v in (*STATES, "Dead", ""), "node": text, "ip": text, "digest": text,
    "attempt": whole, "failures": whole, "pid": whole, "childPid": whole, "lease": _lease, "previousLease": _lease,
    "ports": _ports, "uses": texts, "startedAt": _time, "readyAt": _time,
}
EXIT_FIELDS: dict[str, Rule] = {
    "attempt": whole, "code": _code, "reason": text, "logTail": text, "cause": text, "hint": text,
    "at": lambda v: v != "" and _time(v), "readyFor": _number,
    "infraAway": lambda v: isinstance(v, bool),
}


def fields(what: str, value: Any, rules: dict[str, Rule], needed: tuple[str, ...] = ()) -> None:
    """Raises Unreadable if value is no object, lacks what is needed, or breaks a rule."""
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is no object")
    for name in needed:
        if name not in value:
            raise Unreadable(f"{what} has no {name}")
    for name, rule in rules.items():
        if name in value and not rule(value[name]):
            raise Unreadable(f"{name} of {what} is {str(value[name])[:40]!r}")


def _unit(key: str, value: dict[str, Any]) -> None:
    if key != f"unit.{value.get('server')}.{value.get('unit')}":
        raise Unreadable("it says that it is another unit")
    fields("the unit", value, UNIT_FIELDS)
    group = value.get("placementGroup")
    if not isinstance(group, dict) or not isinstance(group.get("name"), str):
        raise Unreadable("placementGroup has no name")
    actors = value.get("actors") or []
    if not isinstance(actors, list):
        raise Unreadable("actors is no list")
    names = set()
    for actor in actors:
        fields("an actor", actor, ACTOR_FIELDS, ("name",))
        if not isinstance(actor["name"], str) or actor["name"] in names:
            raise Unreadable("an actor is there twice, or has no name")
        names.add(actor["name"])
        for name in ("exit", "lastExit"):
            if actor.get(name) is not None:
                fields("an exit", actor[name], EXIT_FIELDS, ("attempt", "code", "at"))
