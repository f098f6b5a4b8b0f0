"""What a start may ask for, checked before anything is done with it.

A template is kept with its unit, and all units of a machine look at each other's (ports,
needs): one of which a part is something else than it should be would stop them all.
"""

from __future__ import annotations

import math
import re
from typing import Any

from .values import MAX_COUNT, Rule, Unreadable, fields, text, texts, whole

# Of what becomes the name of a file, an actor or a group.
NAME = re.compile(r"[A-Za-z0-9][-_=.A-Za-z0-9]{0,254}\Z")
STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
HEALTH_KINDS = ("http", "nats", "none")
LAST_PORT = 65535



def _name(value: Any) -> bool:
    return isinstance(value, str) and bool(NAME.match(value))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _seconds(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 0 <= value <= MAX_COUNT


def _port(value: Any) -> bool:
    return whole(value, LAST_PORT)


def _list_of(rule: Rule) -> Rule:
    return lambda value: isinstance(value, list) and all(rule(v) for v in value)


def _maybe(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _word(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("expand"), str))


def _bundle(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(whole(v) for v in value.values())


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(whole(value.get(k, 0)) for k in ("number", "failures"))


Fields = dict[str, Rule]
COMMAND: Fields = {
    "deadline": _seconds, "gracePeriod": _maybe(_seconds), "generation": _maybe(text), "placement": _maybe(_counts),
    "attempts": _maybe(lambda v: _object(v) and all(_counts(c) for c in v.values())), "names": _maybe(_object),
    "storeId": text, "session": text, "retires": _maybe(_flag), "withheld": _maybe(_flag),
    "ahead": _maybe(_flag),
}
TEMPLATE: Fields = {
    "server": _name,
    "unit": _name,
    "model": text,
    "role": text,
    "restart": text,
    "digest": text,
    "generation": _name,
    "replica": whole,
    "worker": whole,
    "placementTimeout": _seconds,
    "placementGroup": _object,
    "actors": _list_of(_object),
}
GROUP: Fields = {
    "name": _name, "strategy": lambda v: v in STRATEGIES, "bundles": _list_of(_bundle),
    "bundleLabelSelector": _maybe(_list_of(texts)),
}
ACTOR: Fields = {
    "name": _name,
    "label": _name,
    "bundle": whole,
    "gpus": whole,
    "cpus": whole,
    "needs": _maybe(_list_of(text)),
    "argv": _list_of(_word),
    "env": _maybe(_list_of(_object)),
    "runtimeEnv": _maybe(_object),
    "ports": _maybe(_list_of(_object)),
    "health": _object,
    "startupTimeout": _seconds,
    "terminationGracePeriod": _seconds,
    "keepData": _flag,
    "digest": text,
}
VARIABLE: Fields = {"name": text, "value": _word, "fromFile": text, "fromEnv": text}
PORT: Fields = {"name": text, "seed": _port, "count": _port, "max": _port, "exact": _flag, "sticky": _flag}
HEALTH: Fields = {
    "kind": lambda v: v in HEALTH_KINDS, "port": text, "path": text, "tls": _flag, "lease": _flag,
    "firstWithin": _seconds, "every": _seconds, "failures": whole,
}


def check_command(payload: Any) -> None:
    """Raises Unreadable if the command's own fields are not what they should be."""
    fields("the command", payload, COMMAND)


def check(template: Any) -> None:
    """Raises Unreadable if something of a unit's template is not what it should be."""
    fields("the template", template, TEMPLATE, ("server", "unit", "generation", "placementGroup", "actors"))
    group = template["placementGroup"]
    fields("the group", group, GROUP, ("name", "strategy", "bundles"))
    names = [a.get("name") for a in template["actors"]]
    if not names or len(set(map(str, names))) < len(names):
        raise Unreadable("the template has no actor, or one twice")
    for actor in template["actors"]:
        fields("an actor", actor, ACTOR, ("name", "label", "bundle", "argv", "health"))
        if actor["bundle"] >= len(group["bundles"]):
            raise Unreadable(f"bundle {actor['bundle']} of {len(group['bundles'])} is none")
        fields("health", actor["health"], HEALTH)
        for variable in actor.get("env") or []:
            fields("a variable", variable, VARIABLE, ("name",))
        for port in actor.get("ports") or []:
            fields("a port", port, PORT, ("name", "seed"))
        if actor["health"].get("port", "") not in ("", *(p["name"] for p in actor.get("ports") or [])):
            raise Unreadable(f"health asks port {actor['health']['port'][:40]!r}, which is none")
