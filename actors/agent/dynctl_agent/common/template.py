"""What is executed, and what of it both the job and the actor work out: which values it
asks for, and which ports are a process's own.

job/templates.py checks what a command brings, and names the fields that must be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias, TypedDict

# The services that a server has for its Dynamo, and the programs that they are.
ETCD, NATS = "etcd", "nats"
PROGRAMS = {"etcd": ETCD, "nats-server": NATS}

PLACEHOLDER = re.compile(r"\{(?:py|RD|gpus|(?:ip|port):[^{}/]+/[^{}/]+)\}")


class Expanded(TypedDict):
    """A text with placeholders."""

    expand: str


Text: TypeAlias = "str | Expanded"


class Variable(TypedDict, total=False):
    """One of the environment."""

    name: str
    value: Text
    fromFile: str
    fromEnv: str


class PortRule(TypedDict, total=False):
    """How a port is found, or several in a row."""

    name: str
    seed: int
    count: int
    max: int
    exact: bool
    sticky: bool


class Health(TypedDict, total=False):
    """How a process is asked how it is. Times are in seconds."""

    kind: str
    port: str
    path: str
    tls: bool
    lease: bool
    firstWithin: float
    every: float
    failures: int


class ActorTemplate(TypedDict, total=False):
    """One process. Times are in seconds."""

    name: str
    label: str
    bundle: int
    gpus: int
    cpus: int
    needs: list[str] | None
    argv: list[Text]
    env: list[Variable] | None
    runtimeEnv: dict[str, Any] | None
    ports: list[PortRule] | None
    health: Health
    startupTimeout: float
    terminationGracePeriod: float
    keepData: bool
    digest: str


class Group(TypedDict, total=False):
    """A placement group; the last three are Ray's answer."""

    name: str
    strategy: str
    bundles: list[dict[str, int]]
    bundleLabelSelector: list[dict[str, str]] | None
    id: str
    state: str
    nodes: list[str]


class UnitTemplate(TypedDict, total=False):
    """One unit."""

    server: str
    unit: str
    model: str
    role: str
    restart: str
    digest: str
    generation: str
    replica: int
    worker: int
    rayNamespace: str
    placementTimeout: float
    placementGroup: Group
    actors: list[ActorTemplate]


def references(template: ActorTemplate) -> list[str]:
    """The placeholders of a template that name a unit, each once, in order."""
    found: dict[str, None] = {}
    for text in [*template["argv"], *(v.get("value") for v in template.get("env") or [])]:
        if isinstance(text, dict):
            for match in PLACEHOLDER.findall(text.get("expand", "")):
                if match.startswith(("{ip:", "{port:")):
                    found[match] = None
    return list(found)


def service(template: ActorTemplate) -> str:
    """Which service a process is; "" for all else."""
    program = next(iter(template.get("argv") or []), "")
    return PROGRAMS.get(program, "") if isinstance(program, str) else ""


def promised(rules: list[PortRule], ports: Mapping[str, int]) -> list[int]:
    """The ports that a process with these rules gets or waits for, also while it has
    none: the exact ones, and those that it comes back on."""
    exact = {r["name"]: r["seed"] for r in rules if r.get("exact")}
    sticky = {r["name"]: ports[r["name"]] for r in rules if r.get("sticky") and r["name"] in ports}
    return span(rules, {**sticky, **exact})


def span(rules: list[PortRule], ports: Mapping[str, int]) -> list[int]:
    """Every port that a process with these rules has, those in a row included."""
    counts = {r["name"]: r.get("count") or 1 for r in rules}
    return [p + i for name, p in sorted(ports.items()) for i in range(counts.get(name, 1))]
