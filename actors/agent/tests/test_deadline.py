"""A bound of time that loses no cancellation."""

from __future__ import annotations

import asyncio
import unittest

from dynctl_agent.common.deadline import in_time


class InTime(unittest.IsolatedAsyncioTestCase):
    async def test_what_it_gives(self):
        async def ends(value):
            await asyncio.sleep(0)
            if isinstance(value, Exception):
                raise value
            return value

        self.assertEqual(await in_time(ends(7), 5), 7)
        with self.assertRaises(EOFError):
            await in_time(ends(EOFError()), 5)

    async def test_what_takes_too_long_is_over_when_it_says_so(self):
        ended = []

        async def slow():
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(True)

        with self.assertRaises(asyncio.TimeoutError):
            await in_time(slow(), 0.01)
        self.assertEqual(ended, [True])

    async def test_no_cancellation_is_lost(self):
        """Wherever it falls, also just as the work ends."""
        for after in range(12):
            for failing in (False, True):
                with self.subTest(after=after, failing=failing):
                    went_on = []

                    async def work(failing=failing):
                        for _ in range(3):
                            await asyncio.sleep(0)
                        if failing:
                            raise OSError

                    async def loop(went_on=went_on, work=work):
                        while True:
                            try:
                                await in_time(work(), 5)
                            except OSError:
                                pass
                            went_on.append(True)

                    task = asyncio.ensure_future(loop())
                    for _ in range(after):
                        await asyncio.sleep(0)
                    task.cancel()
                    begun = len(went_on)
                    for _ in range(12):
                        await asyncio.sleep(0)
                    self.assertTrue(task.cancelled())
                    self.assertLessEqual(len(went_on), begun)


if __name__ == "__main__":
    unittest.main()
