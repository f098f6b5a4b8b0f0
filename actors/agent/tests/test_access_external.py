"""How the reconciler is let in by an etcd that is not ours."""

from __future__ import annotations

import types
import unittest
from unittest import mock

from dynctl_agent.actor import access
from dynctl_agent.job import access as job
from dynctl_agent.job.units import ActorView, UnitView

from .cluster import STORE
from .test_access import infra

CERTIFICATES = {"ETCD_AUTH_CA": "a", "ETCD_AUTH_CLIENT_CERT": "c", "ETCD_AUTH_CLIENT_KEY": "k"}


class Frontends(unittest.IsolatedAsyncioTestCase):
    async def test_an_etcd_that_is_not_ours(self):
        """The frontend tells what it was executed with: the Server's variables may name files
        and variables of the node."""
        for env, want in (
            ({"ETCD_AUTH_USERNAME": "u", "ETCD_AUTH_PASSWORD": "p"}, {"user": "u", "password": "p"}),
            ({"ETCD_AUTH_USERNAME": "u"}, None),
            ({"ETCD_AUTH_CA": "a", "ETCD_AUTH_CLIENT_CERT": "c"}, None),
            (CERTIFICATES, {"ca": "a", "cert": "c", "key": "k"}),
            (
                {**CERTIFICATES, "ETCD_AUTH_USERNAME": "u", "ETCD_AUTH_PASSWORD": "p"},
                {"user": "u", "password": "p", "ca": "a", "cert": "c", "key": "k"},
            ),
            ({}, None),
        ):
            holder = access.Holder("127.0.0.1")
            holder.executed_with(env)

            async def tell(_, holder=holder):
                return holder.tell()

            unit = UnitView("s", "infra", STORE)
            unit.actors["n"] = ActorView("n", infra()["actors"][1])
            unit.actors["f"] = frontend = ActorView("f", {"argv": [{"expand": "{py}"}]})
            frontend.handle = types.SimpleNamespace(tell_access=types.SimpleNamespace(remote=tell))
            frontend.phase = ""
            world = types.SimpleNamespace(units={1: unit}, access={}, caller=dict, stale=None)
            with self.subTest(env=env), mock.patch.object(job, "ask", lambda call, _: call):
                answer = await job._reply(world, b'{"server": "s"}')
                if want is None:
                    self.assertIn("ETCD_AUTH_USERNAME and _PASSWORD", answer["error"])
                else:
                    self.assertEqual(answer, want)
                unit.foreign = True
                self.assertIn("error", await job._reply(world, b'{"server": "s"}'))


if __name__ == "__main__":
    unittest.main()
