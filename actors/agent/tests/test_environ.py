"""Command line and environment of a process."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest

from dynctl_agent.actor import environ
from dynctl_agent.common.template import references

from .vectors import rows

NAME_OF_GRACE = "DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS"
VALUES = {"{py}": "/py", "{RD}": "/rd", "{gpus}": "0,1", "{ip:infra/0}": "10.0.0.1", "{port:infra/etcd}": "2379"}


class Expand(unittest.TestCase):
    def test_rules(self):
        for name, text, want in (
            ("a user's text is never expanded", "{py}", "{py}"),
            ("placeholders", {"expand": "http://{ip:infra/0}:{port:infra/etcd}/{RD}"}, "http://10.0.0.1:2379//rd"),
            ("JSON is left alone", {"expand": '{"a": {"b": 1}} {py}'}, '{"a": {"b": 1}} /py'),
            ("GPUs", {"expand": "{gpus}"}, "0,1"),
        ):
            with self.subTest(name):
                self.assertEqual(environ.expand(text, VALUES), want)

    def test_unknown_value(self):
        with self.assertRaisesRegex(environ.ExecError, "port:infra/nats"):
            environ.expand({"expand": "{port:infra/nats}"}, VALUES)

    def test_references(self):
        template = {
            "argv": [{"expand": "{py}"}, "{ip:no/0}", {"expand": "{ip:infra/0}:{port:infra/etcd}"}],
            "env": [{"name": "A", "value": {"expand": "{ip:infra/0}"}}, {"name": "B", "fromEnv": "X"}],
        }
        self.assertEqual(references(template), ["{ip:infra/0}", "{port:infra/etcd}"])


class Environment(unittest.TestCase):
    def child(self, variables, inherited, values=None, bin_dirs=()):
        return environ.child_environment(variables, VALUES if values is None else values, inherited, bin_dirs)

    def test_vectors(self):
        for row in rows("actor_process"):
            case, want = row["input"], row["want"]["ok"]
            with self.subTest(row["name"]):
                variables = [{"name": k, "value": v} for k, v in case["subprocess_env"].items()]
                env = self.child(variables, case["inherited_env"], {"{gpus}": ",".join(case["gpu_ids"])})
                # NEW: PATH begins with the interpreter's directory.
                path = env.pop("PATH").split(os.pathsep)
                self.assertEqual(path[0], os.path.dirname(sys.executable))
                if "PATH" in want["env"]:
                    self.assertEqual(path[-1], want["env"].pop("PATH"))
                self.assertEqual(env, want["env"])

    def test_what_is_not_inherited(self):
        inherited = {"ETCD_X": "1", "NATS_SERVER": "1", "DYN_LOG": "1", "RAY_JOB_ID": "1", "HF_HOME": "/hf", "CUDA_VISIBLE_DEVICES": ""}
        env = self.child([], inherited, {"{gpus}": ""})
        del env["PATH"]
        self.assertEqual(env, {"HF_HOME": "/hf"})

    def test_gpus(self):
        self.assertEqual(self.child([], {})["CUDA_VISIBLE_DEVICES"], "0,1")
        asked = [{"name": "CUDA_VISIBLE_DEVICES", "value": ""}]
        self.assertEqual(self.child(asked, {}, {"{gpus}": ""})["CUDA_VISIBLE_DEVICES"], "")

    def test_path_order(self):
        path = self.child([], {"PATH": "/bin"}, bin_dirs=["/opt/x"])["PATH"]
        self.assertEqual(path, os.pathsep.join([os.path.dirname(sys.executable), "/opt/x", "/bin"]))

    def test_secrets(self):
        with tempfile.NamedTemporaryFile("w", suffix=".token") as f:
            f.write("s3cret\n")
            f.flush()
            variables = [{"name": "A", "fromFile": f.name}, {"name": "B", "fromEnv": "DYN_TOKEN"}]
            env = self.child(variables, {"DYN_TOKEN": "t"})
        self.assertEqual((env["A"], env["B"]), ("s3cret", "t"))

    def test_missing_secrets_say_what_to_do(self):
        for name, variable, what in (
            ("file", {"name": "A", "fromFile": "/nowhere/x"}, "variable A: file /nowhere/x .*change fromFile"),
            ("variable", {"name": "A", "fromEnv": "NOPE"}, "variable A: NOPE is not set .*change fromEnv"),
        ):
            with self.subTest(name), self.assertRaisesRegex(environ.ExecError, what):
                self.child([variable], {})


class Grace(unittest.TestCase):
    """Dynamo's own wait before it ends is short where the actor has waited already."""

    def told(self, *words, env=()):
        t = {"argv": [{"expand": "{py}"}, "-m", *words], "env": [{"name": n, "value": v} for n, v in env], "health": {"lease": True}}
        return environ.child_environment(environ.with_defaults(t, {}), VALUES, {}, ()).get(NAME_OF_GRACE)

    def test_where(self):
        for name, words, env, want in (
            ("aggregated", ["dynamo.vllm", "--model", "m"], (), "0.5"),
            ("sglang", ["dynamo.sglang"], (), "0.5"),
            ("the mocker does not wait at all", ["dynamo.mocker"], (), None),
            ("the frontend is no worker", ["dynamo.frontend"], (), None),
            ("decode still reads what prefill has", ["dynamo.vllm", "--disaggregation-mode", "prefill"], (), None),
            ("others may read what it has", ["dynamo.vllm", "--kv-transfer-config", "{}"], (), None),
            ("the actor cannot log in to its etcd", ["dynamo.vllm"], [("ETCD_AUTH_CLIENT_CERT", "/c")], None),
            ("it logs in to its etcd", ["dynamo.vllm"], [("ETCD_AUTH_USERNAME", "u"), ("ETCD_AUTH_PASSWORD", "p")], "0.5"),
            ("what the spec says counts", ["dynamo.vllm"], [(NAME_OF_GRACE, "9")], "9"),
        ):
            with self.subTest(name):
                self.assertEqual(self.told(*words, env=env), want)


class CommandLine(unittest.TestCase):
    def test_found_on_path(self):
        program, argv = environ.command_line(["sh", {"expand": "{RD}"}], VALUES, "/bin")
        self.assertEqual((program, argv), ("/bin/sh", ["sh", "/rd"]))

    def test_missing_program(self):
        with self.assertRaisesRegex(environ.ExecError, "etcd: not found on node .*; put it on PATH or pass --bin-dir"):
            environ.command_line(["etcd"], VALUES, "/nowhere")


if __name__ == "__main__":
    unittest.main()
