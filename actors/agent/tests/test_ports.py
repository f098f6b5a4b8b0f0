"""Ports: contract section 5."""

from __future__ import annotations

import socket
import subprocess
import sys
import unittest

from dynctl_agent.actor import ports
from dynctl_agent.common.template import span

from .vectors import rows


def free_but(busy):
    return lambda port: port not in busy


class Vectors(unittest.TestCase):
    def test_free_port(self):
        for row in rows("free_port"):
            with self.subTest(row["name"]):
                case, busy = row["input"], set(row["input"]["busy"])
                # FIX: a port that is a promise is that port, also in Ray's range.
                rule = {"name": "p", "seed": case["start"], "exact": not case["get_next"]}
                if row["name"] == "in_ray_range_no_next":
                    self.assertEqual(ports.assign([rule], frozenset(), {}, free_but(busy)), {"p": case["start"]})
                elif "ok" in row["want"]:
                    self.assertEqual(ports.assign([rule], frozenset(), {}, free_but(busy)), {"p": row["want"]["ok"]})
                else:
                    with self.assertRaises(ports.PortConflict):
                        ports.assign([rule], frozenset(), {}, free_but(busy))


class Assign(unittest.TestCase):
    def assign(self, rule, taken=(), previous=None, busy=()):
        found = ports.assign([{"name": "p", **rule}], frozenset(taken), previous or {}, free_but(set(busy)))
        return found["p"]

    def test_rules(self):
        for name, want, args in (
            ("seed", 20300, {"rule": {"seed": 20300}}),
            ("busy ones are skipped", 20302, {"rule": {"seed": 20300}, "busy": (20300, 20301)}),
            ("promised ones are skipped", 20302, {"rule": {"seed": 20300}, "taken": (20300, 20301)}),
            ("a row is free as a whole", 20303, {"rule": {"seed": 20300, "count": 3}, "busy": (20302,)}),
            ("a row does not reach into Ray's range", 20000, {"rule": {"seed": 10000, "count": 4}}),
            ("sticky without a last attempt is a seed", 2379, {"rule": {"seed": 2379, "sticky": True}}),
            ("sticky is the last one", 2401, {"rule": {"seed": 2379, "sticky": True}, "previous": {"p": 2401}}),
            ("neither sticky nor exact forgets the last one", 4222, {"rule": {"seed": 4222}, "previous": {"p": 4300}}),
            ("exact", 8000, {"rule": {"seed": 8000, "exact": True}}),
        ):
            with self.subTest(name):
                self.assertEqual(self.assign(**args), want)

    def test_conflicts(self):
        for name, args in (
            ("exact and busy", {"rule": {"seed": 8000, "exact": True}, "busy": (8000,)}),
            ("exact and promised", {"rule": {"seed": 8000, "exact": True}, "taken": (8000,)}),
            ("sticky and busy", {"rule": {"seed": 2379, "sticky": True}, "previous": {"p": 2400}, "busy": (2400,)}),
            ("none left", {"rule": {"seed": 65535, "count": 2}}),
            ("none left below the highest", {"rule": {"seed": 32766, "max": 32767}, "busy": (32766, 32767)}),
        ):
            with self.subTest(name), self.assertRaises(ports.PortConflict):
                self.assign(**args)

    def test_ports_of_one_process_differ(self):
        rules = [{"name": "a", "seed": 20300, "count": 2}, {"name": "b", "seed": 20300}]
        found = ports.assign(rules, frozenset(), {}, lambda port: True)
        self.assertEqual(found, {"a": 20300, "b": 20302})
        self.assertEqual(span(rules, found), [20300, 20301, 20302])


class RealSockets(unittest.TestCase):
    def test_a_listener_is_a_conflict_and_time_wait_is_none(self):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("0.0.0.0", 0))
            server.listen()
            port = server.getsockname()[1]
            self.assertFalse(ports.is_free(port))
            client = socket.create_connection(("127.0.0.1", port))
            accepted, _ = server.accept()
            accepted.close()  # the server's side goes to TIME_WAIT
            client.recv(1)
            client.close()
        self.assertTrue(ports.is_free(port))


class Held(unittest.TestCase):
    def assign(self, own, *seeds):
        rules = [{"name": str(n), "seed": seed} for n, seed in enumerate(seeds)]
        return list(own.assign(rules, frozenset(), {}).values())

    def test_what_one_has_found_another_does_not_before_anybody_listens(self):
        one, two = ports.Reservation(), ports.Reservation()
        first, second = self.assign(one, 28400, 28400)
        self.assertEqual(self.assign(one, 28400, 28400), [first, second], "its own it may have again")
        self.assertEqual(len({first, second, *self.assign(two, 28400, 28400)}), 4)
        one.release_all_but([second])
        self.assertEqual(self.assign(two, 28400), [first], "what it has let go of is anybody's")
        one.release_all_but([])
        two.release_all_but([])

    def test_a_promise_is_not_given_twice(self):
        one, two = ports.Reservation(), ports.Reservation()
        [port] = self.assign(one, 28450)
        rule = {"name": "p", "seed": port, "exact": True}
        with self.assertRaises(ports.PortConflict):
            two.assign([{"name": "other", "seed": port}, rule], frozenset(), {})
        self.assertEqual(self.assign(one, port + 1), [port + 1], "after a conflict nothing is held")
        self.assertEqual(two.assign([rule], frozenset(), {}), {"p": port})
        one.release_all_but([])
        two.release_all_but([])

    def test_it_ends_with_its_process(self):
        program = "from dynctl_agent.actor import ports; print((h := ports.Reservation()).assign([{'name': 'p', 'seed': 28480}], set(), {})['p'], flush=True); input()"
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            port = int(other.stdout.readline())
            own = ports.Reservation()
            self.assertFalse(own.try_reserve(port))
            other.kill()
            other.wait()
            self.assertTrue(own.try_reserve(port))
            own.release_all_but([])


if __name__ == "__main__":
    unittest.main()
