"""What the agent tells in the bucket and in facts: state.Unit, state.Actor, state.Node and
state.Agent of the Go side, and the data of an event. Times are RFC 3339."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from ..common.messages import Card, Compiled
from ..common.template import Group

if TYPE_CHECKING:
    from typing_extensions import NotRequired


class ObservedExit(TypedDict):
    """How a process ended."""

    attempt: int
    code: int
    reason: str
    logTail: str
    at: str
    readyFor: float
    cause: NotRequired[str]
    hint: NotRequired[str]
    infraAway: NotRequired[bool]


class ObservedActor(TypedDict):
    """One actor of a unit."""

    name: str
    bundle: int
    state: str
    node: str
    ip: str
    gpus: list[str]
    pid: int
    childPid: int
    attempt: int
    failures: int
    digest: str
    ports: dict[str, int]
    uses: dict[str, str]
    lease: int
    previousLease: int
    startedAt: NotRequired[str]
    readyAt: NotRequired[str]
    exit: NotRequired[ObservedExit]
    lastExit: NotRequired[ObservedExit]
    open: NotRequired[bool]


class ObservedUnit(TypedDict):
    """The value of unit.<server>.<unit>, without sentAt."""

    incarnation: int
    server: str
    unit: str
    model: str
    role: str
    replica: int
    generation: str
    worker: int
    storeId: str
    state: str
    reason: str
    message: str
    digest: str
    restart: str
    attempt: int
    failures: int
    placementGroup: Group
    actors: list[ObservedActor]
    changedAt: str
    placementTimeout: NotRequired[float]
    jobAlive: NotRequired[bool]


class FactData(TypedDict):
    """What every fact says."""

    server: str
    unit: str
    model: str
    generation: str
    specRevision: int
    epoch: int
    causeId: str
    reason: str
    message: str


class Told(TypedDict, total=False):
    """What a node says of itself."""

    versions: dict[str, str]
    cards: list[Card]
    caches: Compiled
    parsers: dict[str, dict[str, str]]  # digest, table or error, by program


class ObservedNode(Told):
    """The value of node.<id>, without sentAt."""

    id: str
    ip: str
    alive: bool
    gpus: int
    cpus: int
    head: bool
    labels: dict[str, str]
    incarnation: int
    freeGpus: NotRequired[float]
    freeCpus: NotRequired[float]


class NodeHealth(TypedDict):
    """How Ray's GCS asks the nodes whether they live; times in milliseconds."""

    initialDelayMs: int
    periodMs: int
    timeoutMs: int
    failureThreshold: int


class Programs(TypedDict):
    """etcd and nats-server of the reconciler, for nodes that have none."""

    package: str  # its name in Ray's store
    directory: str  # where they lie on the agent's node; "" where they do not
    wanted: bool  # the package has to be in Ray's store


class Aside(TypedDict, total=False):
    """What the heartbeat tells beside who is in charge: what the agent's node has, and the
    facts that wait to be stored or were given up."""

    versions: dict[str, str]
    binaries: dict[str, str]  # paths
    programs: Programs
    nodeHealth: NodeHealth | None  # None: it cannot be seen
    factsSpooled: int
    factsDropped: int
    warm: Warm


class Warm(TypedDict):
    """The worker processes that are kept ready: of which order, how many, and how many of
    them are there."""

    version: str
    wanted: int
    ready: int
    trouble: NotRequired[str]


class Protocol(TypedDict):
    """The versions of the protocol that the agent speaks."""

    newest: int
    oldest: int


class Heartbeat(Aside):
    """The value of `agent`."""

    incarnation: int
    storeId: str
    session: str
    synced: bool
    asks: bool
    protocol: Protocol
    epoch: int
    autoscaling: bool
    version: str
    nodeIp: str
    pid: int
    job: str
