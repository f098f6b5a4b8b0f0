"""Units and actors as the agent sees them, and the values that it reports."""

from __future__ import annotations

import time
from typing import Any, cast

from ..common.log import parse_time, timestamp
from ..common.messages import Counts, Described, Exit, Origin, Snapshot
from ..common.template import ActorTemplate, Group, PortRule, UnitTemplate, service
from .observed import FactData, ObservedActor, ObservedExit, ObservedUnit

PENDING, PLACING, WAITING, STARTING = "Pending", "Placing", "Waiting", "Starting"
RUNNING, EXITED, STOPPING, DEAD = "Running", "Exited", "Stopping", "Dead"
# A unit is in the worst state of its actors.
WORST = (STOPPING, DEAD, EXITED, PENDING, PLACING, WAITING, STARTING, RUNNING)
ACTOR_DIED = "ActorDied"
# An exit counts as one without infra if that was away this long before it.
INFRA_AWAY = 30.0

NO_SNAPSHOT: Snapshot = {
    "state": PENDING, "childPid": 0, "attempt": 0, "failures": 0, "digest": "", "ports": {}, "uses": {},
    "lease": 0, "startedAt": 0.0, "readyAt": 0.0, "exit": None, "lastExit": None, "previousLease": 0, "version": -1,
}


class ActorView:
    """One actor. `snap` is what it said last; it survives the actor's death."""

    def __init__(self, name: str, template: ActorTemplate | None = None) -> None:
        self.name = name
        self.template: ActorTemplate = template or {}
        self.handle: Any = None
        self.actor_id = ""
        self.phase = PENDING  # until the actor has answered; DEAD after its death
        self.snap: Snapshot = NO_SNAPSHOT.copy()
        self.node = self.ip = ""
        self.next_ports: list[PortRule] = []  # the rules of the attempt asked for
        self.ports_ip = ""  # where the ports of `snap` were found
        self.gpus: list[str] = []
        self.pid = 0
        self.aimed = 0  # the attempt that is being prepared
        self.ported = 0  # the attempt that its ports were found for
        self.stopping = False
        self.died = False
        self.execution = (0, "")  # the attempt that was last heard of, with its begin
        self.unmade = 0  # how often in a row Ray did not make it in time
        self.silent = False  # of our class, found, and has not said yet what it is
        self.described: Described | None = None  # what it said at last
        self.watch: Any = None
        self.hello: Any = None  # the question whether it is there, until it has answered

    @property
    def live(self) -> bool:
        """True from the first answer of the actor until its death."""
        return self.phase == ""

    @property
    def state(self) -> str:
        """The state to report."""
        if self.phase == DEAD:
            return DEAD
        if self.stopping:
            return STOPPING
        if self.phase:
            return self.phase
        state: str = self.snap["state"]
        if state in (WAITING, EXITED):  # no process: it waits only if it was told to execute
            return WAITING if self.aimed > self.snap["attempt"] else EXITED
        return state

    def adopt(self, handle: Any, described: Described) -> None:
        """Take over a living actor. What an earlier actor of this name did stands
        until this one has executed something."""
        self.handle, self.phase, self.died, self.silent = handle, "", False, False
        before, judged = self.ports_ip, self.snap["exit"]
        self.node, self.ip, self.gpus = described["node"], described["ip"], described["gpus"]
        self.pid = described["pid"]
        snap, self.ports_ip = described["snapshot"], self.ip
        if snap["attempt"] == 0 and self.snap["attempt"] > 0:
            fields = ("attempt", "failures", "digest", "exit", "lastExit", "previousLease", "ports")
            snap, self.ports_ip = self._with_own(snap, *fields), before
        self.snap = snap
        self.executed(snap)
        self._keep_judged(judged)

    def _keep_judged(self, before: Exit | None) -> None:
        """Keep what was found of its exit, where it is one that was known before."""
        if _same_exit(self.snap["exit"], before):
            self.snap["exit"] = before

    def compare(self, old: ObservedActor) -> None:
        """Take from what was reported of a living one last what has been told of it."""
        self._keep_judged(_read(old.get("exit")))
        self.execution = (old.get("attempt", 0), str(old.get("startedAt", "")))

    @property
    def unseen(self) -> Exit | None:
        """Its exit, while nobody has judged and told it."""
        end = self.snap["exit"]
        return end if end is not None and "infraAway" not in end else None

    def executed(self, snap: Snapshot) -> bool:
        """Whether an attempt is another one than was last heard of, which it is from now on."""
        was, self.execution = self.execution, (snap["attempt"], _time(snap["startedAt"]))
        return self.execution != was

    def silence(self, handle: Any, placed: bool) -> None:
        """It is there and does not answer: it is slow, or not made yet."""
        self.handle, self.silent, self.phase = handle, True, STARTING if placed else PLACING

    def recall(self, old: ObservedActor) -> None:
        """Take what was reported of it last."""
        fields = (
            "state", "attempt", "failures", "digest", "ports", "uses", "lease", "previousLease", "childPid",
        )
        known = cast(dict[str, Any], self.snap)
        known.update({k: v for k, v in old.items() if k in fields})
        for k in ("startedAt", "readyAt"):
            known[k] = parse_time(str(old.get(k))) if old.get(k) else 0.0
        if "exit" in old:
            self.snap["exit"] = _read(old["exit"])
        if "lastExit" in old:
            self.snap["lastExit"] = _read(old["lastExit"])
        self.node, self.ip, self.pid = old.get("node", ""), old.get("ip", ""), old.get("pid", 0)
        self.ports_ip = self.ip

    def _with_own(self, snap: Snapshot, *fields: str) -> Snapshot:
        """A snapshot in which these fields are as they were."""
        return cast(Snapshot, {**snap, **{k: self.snap.get(k) for k in fields}})

    def absorb(self, snap: Snapshot) -> bool:
        """Take a newer snapshot; reports whether it was newer."""
        if snap["version"] <= self.snap["version"]:
            return False
        self.ports_ip = self.ip
        if snap["attempt"] < self.snap["attempt"]:
            fields = ("attempt", "failures", "digest", "exit", "lastExit", "previousLease")
            snap = self._with_own(snap, *fields)
        before, self.snap = self.snap["exit"], snap
        self._keep_judged(before)
        return True

    def die(self, message: str, now: float) -> Exit:
        """The actor is gone, and with it its process, which ended like this."""
        ready = self.snap["readyAt"]
        attempt = max(self.snap["attempt"], self.aimed)
        running = self.snap["state"] in (STARTING, RUNNING, STOPPING)
        end = self.snap["exit"]
        if end is None or running or attempt > self.snap["attempt"]:
            text = "\n".join(line.strip() for line in message[:2000].splitlines())  # Ray indents them
            end = self.snap["exit"] = {
                "attempt": attempt, "code": -9, "reason": ACTOR_DIED, "logTail": text,
                "at": now, "readyFor": now - ready if ready else 0.0,
            }
        self.snap.update({
            "state": DEAD, "childPid": 0, "attempt": attempt, "lease": 0, "readyAt": 0.0, "version": -1,
            "previousLease": self.snap["lease"] or self.snap["previousLease"],
        })
        self.phase, self.handle, self.pid, self.died, self.silent = DEAD, None, 0, True, False
        return end

    def value(self) -> ObservedActor:
        """state.Actor."""
        s = self.snap
        out: ObservedActor = {
            "name": self.name, "bundle": self.template.get("bundle", 0), "state": self.state,
            "node": self.node, "ip": self.ip, "gpus": self.gpus, "pid": self.pid,
            "childPid": s["childPid"], "attempt": s["attempt"], "failures": s["failures"],
            "digest": s["digest"], "ports": s["ports"], "uses": s["uses"], "lease": s["lease"],
            "previousLease": s["previousLease"],
        }
        if s["startedAt"]:
            out["startedAt"] = _time(s["startedAt"])
        if s["readyAt"]:
            out["readyAt"] = _time(s["readyAt"])
        if s["exit"]:
            out["exit"] = _written(s["exit"])
        last = s.get("lastExit")  # an actor of an earlier version says nothing of it
        if last:
            out["lastExit"] = _written(last)
        if self.open:
            out["open"] = True
        return out

    @property
    def open(self) -> bool:
        """Whether it is a service that lets in whoever reaches it."""
        name = service(self.template)
        return bool(name) and self.state == RUNNING and not self.silent and name not in (self.snap.get("access") or {})


def _time(seconds: float) -> str:
    return timestamp(seconds) if seconds else ""


def _written(end: Exit) -> ObservedExit:
    return cast(ObservedExit, {**end, "at": timestamp(end["at"])})


def _read(end: ObservedExit | None) -> Exit | None:
    """An exit that was reported, and so was told and judged; an agent of an earlier version
    may have left out that the infra was there."""
    return cast(Exit, {"infraAway": False, **end, "at": parse_time(end["at"])}) if end else None


def _same_exit(end: Exit | None, other: Exit | None) -> bool:
    """Whether two are one, of which one may have been written and read again."""
    return end is not None and other is not None and timestamp(end["at"]) == timestamp(other["at"])


class UnitView:
    """One unit. `template` is what it executes, as far as it is known."""

    def __init__(self, server: str, unit: str, store_id: str) -> None:
        self.server, self.unit, self.store_id = server, unit, store_id
        self.model = self.role = self.generation = self.digest = self.restart = ""
        self.replica = self.worker = 0
        self.attempt = self.failures = 0  # of the placement
        self.placement_timeout = 0.0
        self.template: UnitTemplate | None = None
        self.group: Group = {"name": ""}
        self.group_handle: Any = None
        self.bundle_nodes: dict[str, str] = {}  # node id by bundle
        self.actors: dict[str, ActorView] = {}
        self.reason = self.message = ""
        self.failed = self.stopping = False
        self.removing = False  # after a placement that failed
        self.pending = True  # until Ray has been asked for the group
        self.foreign = self.job_alive = False
        # Of what carries no store id: the Ray job that made it, by the name of the group
        # or actor; "" until Ray has told.
        self.makers: dict[str, str] = {}
        # The command that it was last told: what it does is that one's doing.
        self.cause_id, self.epoch, self.spec_revision = "", 0, 0
        self._state, self._changed_at = "", time.time()

    def told(self, origin: Origin) -> None:
        """Remember the command (Command.origin) that something is done for."""
        self.cause_id = origin.get("causeId") or ""
        self.epoch, self.spec_revision = int(origin.get("epoch") or 0), int(origin.get("specRevision") or 0)

    def identify(self, template: UnitTemplate, placement: Counts) -> None:
        """Take the identity from a template that is to run."""
        self.model, self.role = template.get("model", ""), template.get("role", "")
        self.replica, self.worker = template.get("replica", 0), template.get("worker", 0)
        self.generation = template["generation"]
        self.attempt, self.failures = placement["number"], placement["failures"]
        self.placement_timeout = float(template.get("placementTimeout") or 0)
        if self.template is None or not self.executed:
            self.executes(template)
        wanted = template["placementGroup"]
        if self.group.get("name") != wanted["name"]:
            self.group = wanted.copy()
        for actor in template["actors"]:
            self.actors.setdefault(actor["name"], ActorView(actor["name"], actor))

    def recall(self, value: ObservedUnit) -> None:
        """Take the identity from what was reported of it last."""
        for k in ("model", "role", "replica", "worker", "generation", "digest", "restart", "attempt", "failures"):
            setattr(self, k, value.get(k, getattr(self, k)))
        self.placement_timeout = float(value.get("placementTimeout") or 0)

    def stands(self, value: ObservedUnit) -> None:
        """Take since when it has been in the state that was reported of it last, by a clock that
        may have been ahead of this one."""
        if value.get("changedAt") and value.get("state"):
            self._state, self._changed_at = value["state"], min(parse_time(value["changedAt"]), time.time())

    @property
    def unknown(self) -> bool:
        """True while some actor has not said what it is."""
        return any(a.silent for a in self.actors.values())

    @property
    def executed(self) -> bool:
        """True if any of its actors has executed anything."""
        return any(a.snap["attempt"] for a in self.actors.values())

    def executes(self, template: UnitTemplate) -> None:
        """The template that an actor of the unit executes from now on."""
        self.template = template
        self.digest, self.restart = template.get("digest", ""), template.get("restart", "")

    @property
    def state(self) -> str:
        """The worst state of its actors."""
        if self.stopping or self.removing:
            return STOPPING
        if self.failed:
            return EXITED
        if self.pending:
            return PENDING
        states = {a.state for a in self.actors.values()}
        for state in WORST:
            if state in states:
                return EXITED if state == DEAD else state
        return PLACING if self.group.get("state") == "PENDING" else EXITED

    def where(self, actor: ActorView) -> str:
        """The node on which an actor runs or is going to, as far as that is known."""
        if actor.live:
            return actor.node
        node = self.bundle_nodes.get(str(actor.template.get("bundle", 0))) or actor.node
        if not node and self.group.get("strategy") == "STRICT_PACK":
            node = next((a.node for a in self.actors.values() if a.live), "")
        return node

    def starting(self) -> bool:
        """Whether it is on its way to run."""
        return self.state in (PENDING, PLACING, WAITING, STARTING)

    def value(self, incarnation: int) -> ObservedUnit:
        """state.Unit, without sentAt."""
        state = self.state
        if state != self._state:
            self._state, self._changed_at = state, time.time()
        out: ObservedUnit = {
            "incarnation": incarnation, "server": self.server, "unit": self.unit, "model": self.model,
            "role": self.role, "replica": self.replica, "generation": self.generation, "worker": self.worker,
            "storeId": self.store_id, "state": state, "reason": self.reason, "message": self.message,
            "digest": self.digest, "restart": self.restart, "attempt": self.attempt, "failures": self.failures,
            "placementGroup": self.group, "actors": [a.value() for a in self._ordered()],
            "changedAt": timestamp(self._changed_at),
        }
        if self.placement_timeout:
            out["placementTimeout"] = self.placement_timeout
        if self.foreign:
            out["jobAlive"] = self.job_alive
        return out

    def _ordered(self) -> list[ActorView]:
        order = [a["name"] for a in self.template.get("actors", [])] if self.template else []
        rank = {name: i for i, name in enumerate(order)}
        return sorted(self.actors.values(), key=lambda a: (rank.get(a.name, len(rank)), a.name))

    def fact(self, reason: str = "", message: str = "") -> FactData:
        """The data of a fact about this unit."""
        return {
            "server": self.server, "unit": self.unit, "model": self.model, "generation": self.generation,
            "specRevision": self.spec_revision, "epoch": self.epoch, "causeId": self.cause_id,
            "reason": reason, "message": message,
        }


def was_away(actor: ActorView | None, since: float, until: float) -> bool:
    """Whether an actor that another one needs was not Running at some moment of that time,
    which may have been over for long when this is asked."""
    if actor is None:
        return True
    if actor.state == RUNNING and actor.snap["readyAt"] <= since:
        return False
    ends = (actor.snap["exit"], actor.snap.get("lastExit"))
    return not any(end and _ran(end, since, until) for end in ends)


def _ran(end: Exit, since: float, until: float) -> bool:
    """Whether an attempt that has ended ran all that time. When an actor died is not known,
    only when that was noticed."""
    return end["reason"] != ACTOR_DIED and end["at"] - end["readyFor"] <= since and end["at"] > until
