"""Runs all tests, or those of the files that are named, from the directory above, and
prints one line of JSON for each."""

from __future__ import annotations

import json
import pathlib
import sys
import unittest


class Told(unittest.TestResult):
    """Prints how each test ends; what a test printed goes with its failure."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = True
        self._to = sys.stdout
        self._original_stdout = sys.stderr  # unittest repeats there what a test that failed has printed

    def _tell(self, test, outcome: str, text: str = "") -> None:
        print(json.dumps({"test": test.id(), "outcome": outcome, "text": text}), file=self._to, flush=True)

    def addSuccess(self, test) -> None:
        super().addSuccess(test)
        self._tell(test, "pass")

    def addError(self, test, err) -> None:
        super().addError(test, err)
        self._tell(test, "fail", self.errors[-1][1])

    def addFailure(self, test, err) -> None:
        super().addFailure(test, err)
        self._tell(test, "fail", self.failures[-1][1])

    def addSubTest(self, test, subtest, err) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._tell(subtest, "fail", (self.failures if issubclass(err[0], test.failureException) else self.errors)[-1][1])

    def addSkip(self, test, reason: str) -> None:
        super().addSkip(test, reason)
        self._tell(test, "skip", reason)

    def addExpectedFailure(self, test, err) -> None:
        super().addExpectedFailure(test, err)
        self._tell(test, "fail", "a test that is expected to fail shows nothing")

    def addUnexpectedSuccess(self, test) -> None:
        super().addUnexpectedSuccess(test)
        self._tell(test, "fail", "unexpected success")


here = pathlib.Path(__file__).parent
suite = unittest.TestSuite(
    unittest.defaultTestLoader.discover(str(here), pattern=name, top_level_dir=str(here.parent)) for name in sys.argv[1:] or ["test*.py"]
)
result = Told()
suite.run(result)
sys.exit(0 if result.wasSuccessful() else 1)
