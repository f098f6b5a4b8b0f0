"""What a drain leaves undone, from lines that a worker of Dynamo 1.6.0 wrote."""

import asyncio
import os
import tempfile
import unittest
from unittest import mock

from dynctl_agent.actor import drain
from dynctl_agent.common.messages import UNKNOWN

PUSH = "\x1b[2m2026-11-25T13:13:54.6Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[1mhandle_payload\x1b[0m: dynamo_runtime::pipeline::network::ingress::push_handler: "
RECEIVED = PUSH + 'request received \x1b[3mrequest_id\x1b[0m=4cb5 component="m" \x1b[3mendpoint\x1b[0m\x1b[2m=\x1b[0m"generate" namespace="x-aaaaaaaa"\n'
COMPLETED = RECEIVED.replace("received", "completed")
OTHER = COMPLETED.replace('"generate"', '"worker_kv_query_source_1f"')
WAITS = (
    "\x1b[2m2026-11-25T13:13:54.62Z\x1b[0m \x1b[32m INFO\x1b[0m dynamo_runtime::pipeline::network::ingress: Waiting for inflight "
    'requests to complete \x1b[3mendpoint_name\x1b[0m\x1b[2m=\x1b[0m"generate" \x1b[3minflight_count\x1b[0m\x1b[2m=\x1b[0m{}\n'
)


class Unfinished(unittest.TestCase):
    def test_counts(self):
        for name, old, new, before, want in (
            ("the worker says how many it waits for", RECEIVED * 5, WAITS.format(3) + COMPLETED, 4, 2),
            ("it says nothing: what it said before", RECEIVED * 5, COMPLETED * 2, 5, 3),
            ("what completed before does not count", COMPLETED * 9, WAITS.format(3), 3, 3),
            ("other endpoints do not count", "", WAITS.format(2) + OTHER, 2, 2),
            ("all are done", "", WAITS.format(2) + COMPLETED * 2, 2, 0),
            ("nothing is known", "", COMPLETED * 2, UNKNOWN, UNKNOWN),
            ("it could not be asked, and then it said", "", WAITS.format(2), UNKNOWN, 2),
        ):
            with self.subTest(name), tempfile.TemporaryDirectory() as d:
                path = os.path.join(d, "x.log")
                with open(path, "w", encoding="utf-8") as f:
                    f.write(old)
                since = drain.mark(path)
                with open(path, "a", encoding="utf-8") as f:
                    f.write(new)
                self.assertEqual(drain.unfinished(path, since, before), want)

    def test_rotated(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "x.log")
            with open(path, "w", encoding="utf-8") as f:
                f.write(WAITS.format(3) + COMPLETED)
            self.assertEqual(drain.unfinished(path, 10_000, UNKNOWN), 2)

    def test_no_log(self):
        self.assertEqual(drain.mark("/nowhere/x.log"), 0)
        self.assertEqual(drain.unfinished("/nowhere/x.log", 0, 4), 4)


class Finished(unittest.IsolatedAsyncioTestCase):
    """How long a worker that has left discovery is waited for."""

    async def asyncSetUp(self):
        self.asked = 0
        self.exited = asyncio.get_running_loop().create_future()

    def says(self, *counts):
        async def under_way():
            self.asked += 1
            return counts[min(self.asked, len(counts)) - 1]

        return under_way

    async def test_no_longer_than_its_grace_period_allows(self):
        await asyncio.wait_for(drain.finished(self.says(1), self.exited, 0.4), 20)
        with mock.patch.object(drain, "RESERVE", 0.1):
            await asyncio.wait_for(drain.finished(self.says(1), self.exited, 0.4), 20)

    async def test_it_has_to_stay_idle(self):
        await drain.finished(self.says(*[0, 0, 1] * 4, 0), self.exited, 600)
        self.assertGreater(self.asked, 12, "the canaries of an idle worker are under way for a moment too")

    async def test_until_it_ends(self):
        self.exited.set_result(0)
        await drain.finished(self.says(1), self.exited, 600)
        self.assertEqual(self.asked, 0)

    async def test_one_that_says_nothing_for_a_moment_is_asked_again(self):
        await drain.finished(self.says(UNKNOWN, UNKNOWN, 1, UNKNOWN, UNKNOWN, 0), self.exited, 600)
        self.assertGreater(self.asked, 6)


if __name__ == "__main__":
    unittest.main()
