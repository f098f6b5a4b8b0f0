"""What the job and its actors say to each other.

Both ends may be of different versions: an actor lives longer than the job that made it.
What was added later is NotRequired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, final

if TYPE_CHECKING:
    from typing_extensions import NotRequired

    from .template import UnitTemplate

# A number of requests that a worker did not tell.
UNKNOWN = -1


class Origin(TypedDict, total=False):
    """The command that asks for something."""

    verb: str
    causeId: str
    epoch: int
    specRevision: int
    retires: bool


class Caller(TypedDict):
    """Who calls an actor."""

    storeId: str
    incarnation: int
    command: NotRequired[Origin]


class Counts(TypedDict):
    """The number of an attempt or a placement, and how many have failed in a row before."""

    number: int
    failures: int


Goals = dict[str, Counts]  # the attempts asked for, by actor name


class Header(TypedDict):
    """What an actor is made with."""

    storeId: str
    actor: str  # its name
    template: UnitTemplate
    placement: Counts
    goals: Goals
    binDirs: NotRequired[list[str]]
    cacheDir: NotRequired[str]  # "": none
    origin: NotRequired[Origin]


class Exit(TypedDict):
    """How a process ended. Times are seconds since the epoch."""

    attempt: int
    code: int  # negative for a signal
    reason: str
    logTail: str
    at: float
    readyFor: float
    cause: NotRequired[str]
    hint: NotRequired[str]
    infraAway: NotRequired[bool]  # added by the job


class Access(TypedDict):
    """Who a service lets in."""

    id: str  # names it where it must not be told
    user: str
    password: str


class Failure(TypedDict):
    """Why an attempt was not executed."""

    reason: str
    message: str


class Request(TypedDict):
    """An attempt to execute."""

    template: UnitTemplate
    goals: Goals
    attempt: Counts
    resolved: dict[str, str]  # the values of placeholders
    uses: dict[str, str]  # those of other units
    previousLease: int  # of an actor of this name before this one
    lastExit: NotRequired[Exit | None]  # of that one too
    failure: NotRequired[Failure | None]  # it has failed before it could be executed
    closes: NotRequired[bool]  # a service: nobody that runs would be cut off by a credential
    access: NotRequired[dict[str, Access]]  # to the services that it needs, where they are closed
    programs: NotRequired[str]  # the package of etcd and nats-server, for a node without them


class ProcessState(TypedDict):
    """What is told of an actor's process. Times are seconds since the epoch, 0: not yet."""

    state: str
    childPid: int
    attempt: int
    failures: int
    digest: str
    ports: dict[str, int]
    uses: dict[str, str]
    lease: int
    startedAt: float
    readyAt: float
    exit: Exit | None  # of this attempt
    lastExit: NotRequired[Exit | None]  # of the one before
    previousLease: int
    lost: NotRequired[int]  # requests; UNKNOWN
    hung: NotRequired[bool]
    access: NotRequired[dict[str, str]]  # ids of the credentials that it has, by service


class Snapshot(ProcessState):
    """The same with the version that counts its changes."""

    version: int


@final
class Stale(TypedDict):
    """The highest incarnation seen, which is above the caller's: nothing was done."""

    stale: int


class NoPorts(TypedDict):
    """Why there are no ports."""

    conflict: str


class Answer(Snapshot, total=False):
    """A snapshot, or one of the two others."""

    stale: int
    conflict: str


class Stopping(Origin):
    """The stop that was asked for first."""

    storeId: str
    gracePeriod: float
    at: float


@final
class Described(TypedDict):
    """All that an actor knows."""

    storeId: str
    actor: str
    template: UnitTemplate
    goalTemplate: UnitTemplate  # that the goals refer to
    placement: Counts
    goals: Goals
    createdAt: float
    node: str
    ip: str
    pid: int
    gpus: list[str]
    snapshot: Snapshot
    stopping: Stopping | None
    origin: NotRequired[Origin]


class CardProcess(TypedDict):
    """Who uses a GPU card."""

    pid: int
    group: int  # of processes; 0: another container's
    command: str
    memory: int  # bytes
    ours: NotRequired[bool]  # added by the job


class Card(TypedDict, total=False):
    """A GPU card. Memory is in bytes."""

    index: int
    uuid: str
    name: str
    memoryTotal: int
    memoryUsed: int
    processes: list[CardProcess]
    error: str  # of one that the driver has lost


class Compiled(TypedDict):
    """What a node keeps of what engines compiled."""

    directory: str
    bytes: int
    parts: int


class Inventory(TypedDict):
    """What a node has that Ray does not tell."""

    versions: dict[str, str]
    cards: list[Card]
    caches: Compiled | None


class LogRequest(TypedDict, total=False):
    """Which piece of a log somebody asks for: the last lines at first, later what follows
    the piece before, whose position comes back."""

    server: str
    unit: str
    actor: str
    previous: bool  # the log before
    lines: int  # all if negative
    attempt: int
    rotations: int
    offset: int | None
    file: int


class LogPiece(TypedDict):
    """A piece of a log, and the position after it."""

    text: str
    attempt: int
    rotations: int
    offset: int
    file: int  # its inode
    more: bool  # there is more to read at once
    path: str


class Refusal(TypedDict):
    """Why there is none."""

    error: Failure
