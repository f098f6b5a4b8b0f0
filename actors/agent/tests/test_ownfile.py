"""What stands under our names already is never followed."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import unittest
from unittest import mock

from dynctl_agent.actor import logread, logs, ownfile
from dynctl_agent.actor.ownfile import UnsafePath
from dynctl_agent.actor.unit_actor import UnitActor, remove_directory

from .cluster import STORE, worker
from .fakes import new_actor

CALLER = {"storeId": STORE, "incarnation": 1}


class Case(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        base = tempfile.TemporaryDirectory()
        self.addCleanup(base.cleanup)
        # As Ray's session directory: everybody may write.
        self.session = os.path.join(base.name, "session")
        os.mkdir(self.session)
        os.chmod(self.session, 0o777)
        # What must stay as it is.
        self.victim_dir = os.path.join(base.name, "victim")
        os.mkdir(self.victim_dir, 0o755)
        self.victim = os.path.join(self.victim_dir, "file")
        with open(self.victim, "w", encoding="ascii") as f:
            f.write("precious\n")
        self.directory = os.path.join(self.session, "nemo_curator_dynamo_s_u")
        self.log = os.path.join(self.directory, "label.log")

    def untouched(self):
        with open(self.victim, encoding="ascii") as f:
            self.assertEqual(f.read(), "precious\n")
        self.assertEqual(os.listdir(self.victim_dir), ["file"])

    def foreign(self):
        """Everything belongs to somebody else from now on."""
        patch = mock.patch.object(ownfile.os, "geteuid", return_value=os.geteuid() + 1)
        patch.start()
        self.addCleanup(patch.stop)


class Directory(Case):
    def test_it_is_made_for_this_user_alone(self):
        ownfile.make_directory(self.directory)
        ownfile.make_directory(self.directory)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)

    def test_one_of_an_older_version_is_closed(self):
        os.mkdir(self.directory)
        os.chmod(self.directory, 0o777)
        with open(self.log, "w", encoding="ascii") as f:
            f.write("before\n")
        ownfile.make_directory(self.directory)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)
        self.assertEqual(logs.read_tail(self.log), "before\n")

    def test_what_others_put_into_an_open_one_is_told(self):
        os.mkdir(self.directory)
        os.chmod(self.directory, 0o777)
        os.symlink(self.victim_dir, os.path.join(self.directory, "etcd_data"))
        with self.assertRaisesRegex(UnsafePath, "etcd_data.*symbolic link"):
            ownfile.make_directory(self.directory)

    def test_a_link_is_not_followed(self):
        for target in (self.victim_dir, self.victim, os.path.join(self.session, "nowhere")):
            with self.subTest(target):
                os.symlink(target, self.directory)
                with self.assertRaisesRegex(UnsafePath, f"{self.directory}.*symbolic link.*remove it"):
                    ownfile.make_directory(self.directory)
                self.untouched()
                self.assertEqual(stat.S_IMODE(os.stat(self.victim_dir).st_mode), 0o755)
                os.unlink(self.directory)

    def test_somebody_elses_is_refused(self):
        os.mkdir(self.directory, 0o755)
        self.foreign()
        with self.assertRaisesRegex(UnsafePath, f"{self.directory}.*belongs to user"):
            ownfile.make_directory(self.directory)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o755)

    def test_a_file_in_its_place(self):
        with open(self.directory, "w", encoding="ascii"):
            pass
        with self.assertRaisesRegex(UnsafePath, "a file stands where the directory belongs"):
            ownfile.make_directory(self.directory)


class Logs(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.directory, 0o700)

    def append(self, path: str, text: bytes = b"x" * 10):
        with open(path, "ab", opener=ownfile.opener) as f:
            f.write(text)

    def test_it_is_made_for_this_user_alone(self):
        self.append(self.log)
        self.assertEqual(stat.S_IMODE(os.stat(self.log).st_mode), 0o600)
        os.chmod(self.log, 0o644)  # of an older version
        self.append(self.log)
        self.assertEqual(stat.S_IMODE(os.stat(self.log).st_mode), 0o600)

    def test_what_is_none_of_ours_is_neither_written_nor_read_nor_moved(self):
        for name, make, why in (
            ("link", lambda: os.symlink(self.victim, self.log), "symbolic link"),
            ("hard link", lambda: os.link(self.victim, self.log), "hard link"),
            ("pipe", lambda: os.mkfifo(self.log), "pipe"),
            ("directory", lambda: os.mkdir(self.log), "directory"),
        ):
            with self.subTest(name):
                make()
                with self.assertRaisesRegex(UnsafePath, why):
                    self.append(self.log)
                with self.assertRaisesRegex(UnsafePath, why):
                    logs.keep_previous(self.log)
                with self.assertRaisesRegex(UnsafePath, why):
                    logread.first(logread.Log(self.log, 1, 0), 10)
                with self.assertRaisesRegex(UnsafePath, why):
                    logread.read(logread.Log(self.log, 1, 0), logread.Position(1, 0, 0, 0))
                self.assertFalse(logs.rotate_if_large(self.log, 1))
                self.assertEqual(logs.read_tail(self.log), "")
                self.untouched()
                (os.rmdir if name == "directory" else os.unlink)(self.log)

    def test_somebody_elses_is_refused(self):
        self.append(self.log)
        self.foreign()
        with self.assertRaisesRegex(UnsafePath, "belongs to user"):
            self.append(self.log)
        self.assertEqual(logs.read_tail(self.log), "")

    def test_a_rotation_does_not_write_through_a_link(self):
        for link in (os.symlink, os.link):
            with self.subTest(link.__name__):
                self.append(self.log)
                link(self.victim, self.log + ".1")
                self.assertFalse(logs.rotate_if_large(self.log, 1))
                self.untouched()
                with self.assertRaises(UnsafePath):
                    logread.previous(logread.Log(self.log, 2, 0), None, 10)
                os.unlink(self.log + ".1")

    def test_the_directory_is_no_link_either(self):
        self.append(self.log)
        os.rename(self.directory, self.directory + "-mine")
        os.symlink(self.directory + "-mine", self.directory)
        with self.assertRaises(UnsafePath):
            self.append(self.log)
        self.assertEqual(logs.read_tail(self.log), "")


class Removal(Case):
    def test_a_link_is_left_alone(self):
        os.symlink(self.victim_dir, self.directory)
        remove_directory(self.directory, False)
        self.untouched()

    def test_links_within_are_removed_and_not_followed(self):
        os.makedirs(os.path.join(self.directory, "cache"), 0o700)
        os.chmod(self.directory, 0o700)
        os.symlink(self.victim_dir, os.path.join(self.directory, "link"))
        os.symlink(self.victim_dir, os.path.join(self.directory, "cache", "link"))
        remove_directory(self.directory, False)
        self.assertFalse(os.path.lexists(self.directory))
        self.untouched()

    def test_logs_and_data_are_kept(self):
        for name in ("etcd_data", "flashinfer"):
            os.makedirs(os.path.join(self.directory, name))
        with open(self.log, "w", encoding="ascii"):
            pass
        remove_directory(self.directory, True)
        self.assertEqual(sorted(os.listdir(self.directory)), ["etcd_data", "label.log"])
        remove_directory(self.directory, False)
        self.assertEqual(os.listdir(self.directory), ["label.log"])
        remove_directory(os.path.join(self.session, "none"), False)


class Start(Case):
    """The actor, with a real process."""

    def actor(self):
        self.template = worker("s", "0a0a0a0a", 0, [sys.executable, "-c", "print('hello')"])
        header = {"storeId": STORE, "actor": self.template["actors"][0]["name"], "template": self.template,
                  "placement": {"number": 1, "failures": 0}, "goals": {}}
        return new_actor(UnitActor, header, self.session)

    async def execute(self, actor, number: int = 1) -> dict:
        request = {"template": self.template, "goals": {}, "attempt": {"number": number, "failures": 0}, "resolved": {}, "uses": {}, "previousLease": 0}
        snap = await actor.execute(CALLER, request)
        while snap["state"] != "Exited":
            snap = await actor.wait(CALLER, snap["version"])
        return snap["exit"]

    async def test_a_directory_made_beforehand_keeps_it_from_starting(self):
        actor = self.actor()
        directory, log = actor._paths()
        os.symlink(self.victim_dir, directory)
        ended = await self.execute(actor)
        self.assertEqual((ended["code"], ended["reason"]), (127, "ExecFailed"))
        self.assertIn(directory, ended["logTail"])
        self.assertIn("symbolic link", ended["logTail"])
        self.untouched()
        os.unlink(directory)  # and it heals
        self.assertEqual((await self.execute(actor, 2))["code"], 0)
        self.assertEqual(logs.read_tail(log), "hello\n")
        await actor.stop(CALLER, 1)

    async def test_a_log_that_is_a_link_keeps_it_from_starting_and_is_not_read(self):
        actor = self.actor()
        directory, log = actor._paths()
        os.mkdir(directory, 0o700)
        os.symlink(self.victim, log)
        ended = await self.execute(actor)
        self.assertIn(log, ended["logTail"])
        reply = await actor.read_log(CALLER, {"lines": 10, "previous": False})
        self.assertEqual(reply["error"]["reason"], "UnsafePath")
        self.assertIn(log, reply["error"]["message"])
        self.assertNotIn("precious", repr(reply) + repr(ended))
        self.untouched()


if __name__ == "__main__":
    unittest.main()
