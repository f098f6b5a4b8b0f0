"""What travels to the nodes by value, which do not have this package."""

from __future__ import annotations

import ast
import functools
import inspect
import ssl
import subprocess
import sys
import unittest
from unittest import mock

import dynctl_agent
from dynctl_agent.actor import retire
from dynctl_agent.job import ray_api
from dynctl_agent.job.starting import said
from ray import cloudpickle

# What the interpreter of a worker does with it. It cannot import the package.
WORKER = """
import importlib.util, os, pickle, sys, types
from unittest import mock
assert importlib.util.find_spec("dynctl_agent") is None
things = pickle.load(sys.stdin.buffer)
assert "dynctl_agent" not in sys.modules

assert "python" in things["inventory.look"]()["versions"]
assert things["descendants.end_descendants"](os.getpid(), 0.0) == []

UnitActor = things["unit_actor.UnitActor"]
import ray
node = types.SimpleNamespace(get_session_dir_path=lambda: "/tmp", node_ip_address="127.0.0.1")
context = types.SimpleNamespace(get_node_id=lambda: "n", get_accelerator_ids=lambda: {"GPU": ["0"]}, get_actor_id=lambda: "a")
with mock.patch.object(ray, "get_runtime_context", lambda: context), mock.patch.object(ray._private.worker, "_global_node", node):
    actor = UnitActor({"storeId": "s", "actor": "a", "template": {"server": "s", "unit": "u", "actors": []}, "placement": {}, "goals": {}})
assert actor._gpus == ["0"]

# Each module that came along works as a whole: its functions find their globals.
seen, ahead, known = {}, [UnitActor], set()
while ahead:
    value = ahead.pop()
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None) or ""
    if id(value) in known or not name.startswith("dynctl_agent."):
        continue
    known.add(id(value))
    if isinstance(value, types.ModuleType):
        seen[name] = value
    if isinstance(value, (types.ModuleType, type)):
        ahead.extend(vars(value).values())
    elif isinstance(value, types.FunctionType):
        ahead.extend(value.__globals__.values())
assert seen["dynctl_agent.actor.cause"].of_exit(1, "Traceback (most recent call last):\\n  x\\nKeyError: 1\\n").text == "KeyError: 1"
print(",".join(sorted(seen)))
"""


def sent() -> dict:
    """All classes and functions that ray_api hands to Ray, by module and name: the argument
    of ray.remote, and the second one of _on_node."""
    found = {}
    for call in (n for n in ast.walk(ast.parse(inspect.getsource(ray_api))) if isinstance(n, ast.Call)):
        called = ast.unparse(call.func)
        if called not in ("ray.remote", "self._on_node"):
            continue
        thing = ast.unparse(call.args[called == "self._on_node"])
        if thing != "fn":  # _on_node itself
            value = functools.reduce(getattr, thing.split("."), ray_api)
            found[f"{value.__module__.rpartition('.')[2]}.{value.__name__}"] = value
    return found


class Travel(unittest.TestCase):
    def setUp(self):
        cloudpickle.register_pickle_by_value(dynctl_agent)  # as ray_api.connect does
        self.addCleanup(cloudpickle.unregister_pickle_by_value, dynctl_agent)

    def test_what_is_sent_is_known(self):
        self.assertEqual(sorted(sent()), ["descendants.end_descendants", "flagtable.read", "inventory.look", "unit_actor.UnitActor"])

    def test_a_worker_without_the_package_runs_it(self):
        raw = cloudpickle.dumps(sent())
        done = subprocess.run([sys.executable, "-I", "-c", WORKER], input=raw, capture_output=True, cwd="/", timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        # What the actor's methods use, whole, with the constants of each.
        self.assertIn("dynctl_agent.actor.retire", done.stdout.decode().strip().split(","))

    def test_a_constant_that_cannot_travel_is_noticed(self):
        # From Python 3.12 on an opener of urllib holds such a context.
        with (
            mock.patch.object(retire, "HELD", ssl.create_default_context(), create=True),
            self.assertRaisesRegex(TypeError, "cannot pickle 'SSLContext'"),
        ):
            cloudpickle.dumps(sent()["unit_actor.UnitActor"])

    def test_why_it_cannot_travel_is_told_in_a_line(self):
        try:
            try:
                cloudpickle.dumps(ssl.create_default_context())
            except TypeError as err:
                raise TypeError("Could not serialize the actor class X:\n====\nChecking Serializability of ...\n") from err
        except TypeError as err:
            told = said(err)
        self.assertEqual(told, "TypeError: Could not serialize the actor class X: TypeError(\"cannot pickle 'SSLContext' object\")")
        self.assertEqual(said(ValueError("bundle 1 of 1")), "ValueError('bundle 1 of 1')")
