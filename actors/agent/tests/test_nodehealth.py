"""How soon Ray takes a node for dead, as the agent reads it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest

from dynctl_agent.job import about, nodehealth

SESSION = "session_2026-11-27_00-00-00_000000_1"


def config(**settings: object) -> str:
    return nodehealth.CONFIG + base64.b64encode(json.dumps(settings).encode()).decode()


class Settings(unittest.TestCase):
    def test_what_is_not_set_is_rays_own(self):
        for arguments in ([], ["--gcs_server_port=6379", config(is_external_storage_type_fs=True)]):
            self.assertEqual(nodehealth.settings(arguments, {}), nodehealth.DEFAULTS)

    def test_the_environment_counts_and_the_command_line_more(self):
        environment = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
        want = {**nodehealth.DEFAULTS, "periodMs": 500, "failureThreshold": 3}
        self.assertEqual(nodehealth.settings([], environment), want)
        arguments = [config(health_check_period_ms=700, health_check_timeout_ms="900")]
        self.assertEqual(nodehealth.settings(arguments, environment), {**want, "periodMs": 700, "timeoutMs": 900})

    def test_what_cannot_be_read_is_not_known(self):
        for value in ("", "soon", "-1", "1e3", str(2**40)):
            self.assertIsNone(nodehealth.settings([], {"RAY_health_check_timeout_ms": value}), value)
        for argument in ("--config_list=%%%", "--config_list=MTI=", config(health_check_period_ms=None)):
            self.assertIsNone(nodehealth.settings([argument], {}), argument)


class Found(unittest.TestCase):
    """A process that looks as a GCS does."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.program = os.path.join(directory.name, "gcs_server")
        os.symlink(sys.executable, self.program)

    def gcs(self, session: str, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [self.program, "-c", "import sys; print(flush=True); sys.stdin.read()", f"--session-name={session}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment},
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.communicate)
        process.stdout.readline()
        return process

    def test_that_of_the_session_and_no_other(self):
        other = self.gcs("session_of_somebody", RAY_health_check_period_ms="1")
        self.assertEqual(nodehealth.gcs(SESSION), 0)
        mine = self.gcs(SESSION, RAY_health_check_period_ms="2")
        self.assertEqual(nodehealth.gcs(SESSION), mine.pid)
        self.assertEqual(nodehealth.of(mine.pid)["periodMs"], 2)
        self.assertEqual(nodehealth.of(other.pid)["periodMs"], 1)

    def test_one_that_was_restarted_is_found_again(self):
        found = about.About([], SESSION)
        self.assertIsNone(found._node_health())
        first = self.gcs(SESSION, RAY_health_check_period_ms="3")
        self.assertEqual(found._node_health()["periodMs"], 3)
        first.communicate()
        self.gcs(SESSION, RAY_health_check_period_ms="4")
        self.assertEqual(found._node_health()["periodMs"], 4)
