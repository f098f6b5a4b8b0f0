"""Free ports on this node.

A port is found before its process is executed, and a worker listens half a minute later.
What an actor has found it reserves until then and for as long as it lives, by a socket
with an abstract name: those are of one network, as ports are, and end with their process.
So two fleets on one machine do not find the same port.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Mapping, Set
from typing import TYPE_CHECKING

from ..common.template import span

if TYPE_CHECKING:
    from ..common.template import PortRule

# Ray's own workers listen here.
RAY_FIRST, RAY_LAST = 10002, 19999
LAST = 65535


class PortConflict(Exception):
    """A port that must be this one is taken, or none is left."""


def is_free(port: int) -> bool:
    """True if a server could listen on the port on every address of this node.

    With SO_REUSEADDR, as servers do: connections in TIME_WAIT are no conflict.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True


def find(
    seed: int, count: int, taken: Set[int], free: Callable[[int], bool] = is_free, last: int = LAST
) -> int:
    """The first of count ports in a row from seed to last, none of them taken or Ray's."""
    port = seed
    while port + count - 1 <= last:
        if port <= RAY_LAST and port + count - 1 >= RAY_FIRST:
            port = RAY_LAST + 1
            continue
        bad = [p for p in range(port, port + count) if p in taken or not free(p)]
        if not bad:
            return port
        port = bad[-1] + 1
    raise PortConflict(f"no {count} free port(s) in a row from {seed} to {last}")


def assign(
    rules: list[PortRule],
    taken: Set[int],
    previous: Mapping[str, int],
    free: Callable[[int], bool] = is_free,
) -> dict[str, int]:
    """The ports of one process by name.

    rules are the template's; taken is what other units on this node use or were
    promised; previous are the ports of the last attempt. Raises PortConflict.
    """
    found: dict[str, int] = {}
    used = set(taken)
    for rule in rules:
        name, count = rule["name"], rule.get("count") or 1
        want = rule["seed"] if rule.get("exact") else previous.get(name, 0) if rule.get("sticky") else 0
        if want:
            for port in range(want, want + count):
                if port in used:
                    raise PortConflict(f"port {port} ({name}) belongs to another unit on this node")
                if not free(port):
                    raise PortConflict(f"port {port} ({name}) is in use on this node; free it or choose another")
        else:
            want = find(rule["seed"], count, used, free, rule.get("max") or LAST)
        found[name] = want
        used.update(range(want, want + count))
    return found


class Reservation:
    """The ports that are reserved for the processes of one actor."""

    def __init__(self) -> None:
        self._names: dict[int, socket.socket] = {}

    def assign(self, rules: list[PortRule], taken: Set[int], previous: Mapping[str, int]) -> dict[str, int]:
        """As `assign`, and reserves what was found instead of what was reserved before; after
        a PortConflict that stays reserved."""
        before = set(self._names)
        try:
            found = assign(rules, taken, previous, self.try_reserve)
        except PortConflict:
            self.release_all_but(before)
            raise
        self.release_all_but(span(rules, found))
        return found

    def try_reserve(self, port: int) -> bool:
        """Reserve a port on which a server could listen; False if it is somebody's."""
        if not is_free(port):
            return False
        if port in self._names:
            return True
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0dynctl-port-{port}")
        except OSError as err:
            name.close()
            # Another error: abstract names do not exist here, and bind(2) is all there is.
            return err.errno != errno.EADDRINUSE
        self._names[port] = name
        return True

    def release_all_but(self, wanted: Iterable[int]) -> None:
        """Let others have the rest."""
        for port in set(self._names).difference(wanted):
            self._names.pop(port).close()
