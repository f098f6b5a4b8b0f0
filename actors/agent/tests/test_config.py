"""The agent's settings."""

import base64
import json
import unittest

from dynctl_agent import PROTOCOL, PROTOCOL_OLDEST
from dynctl_agent.job.config import JOB_CONFIG, Config, take_credentials


class TestConfig(unittest.TestCase):
    def test_credentials_come_by_themselves(self):
        text = base64.b64encode(json.dumps({"natsUrl": "nats://h", "storeId": "s", "rayNamespace": "n"}).encode()).decode()
        config = Config.decode(text, json.dumps({"user": "me", "password": "hush"}))
        self.assertEqual({"user": "me", "password": "hush"}, config.nats_options())
        self.assertNotIn("hush", base64.b64decode(text).decode())
        self.assertEqual({"token": "t"}, Config.decode(text, json.dumps({"token": "t"})).nats_options())
        self.assertEqual({}, Config.decode(text).nats_options())
        self.assertFalse(Config.decode(text).demands_tls())
        inbox = json.dumps({"user": "me", "inboxPrefix": "_INBOX_agent"})
        self.assertEqual({"user": "me", "inbox_prefix": "_INBOX_agent"}, Config.decode(text, inbox).nats_options())

    def test_every_server_of_a_cluster(self):
        for urls, want in (("nats://a:1", ["nats://a:1"]), ("nats://a:1,nats://b:2, nats://c:3", ["nats://a:1", "nats://b:2", "nats://c:3"])):
            self.assertEqual(want, Config(nats_url=urls, store_id="s", ray_namespace="n").servers())

    def test_a_reconciler_of_another_protocol(self):
        def decode(**more):
            raw = {"natsUrl": "nats://h", "storeId": "s", "rayNamespace": "n", **more}
            return Config.decode(base64.b64encode(json.dumps(raw).encode()).decode())

        for spoken in ({}, {"protocol": {"newest": PROTOCOL, "oldest": PROTOCOL}}, {"protocol": {"newest": PROTOCOL + 9, "oldest": PROTOCOL_OLDEST}}):
            self.assertEqual("s", decode(**spoken).store_id)
        later = {"newest": PROTOCOL + 2, "oldest": PROTOCOL + 1}
        with self.assertRaisesRegex(ValueError, f"speaks versions {PROTOCOL + 1} to {PROTOCOL + 2} of the protocol"):
            decode(protocol=later)

    def test_nobody_inherits_the_credentials(self):
        creds = json.dumps({"user": "me", "password": "hush"})
        job = {"runtime_env": {"working_dir": "d"}, "metadata": {"job_submission_id": "1", "dynctl/nats-creds": creds}}
        environ = {JOB_CONFIG: json.dumps(job)}
        self.assertEqual(creds, take_credentials(environ))
        self.assertNotIn("hush", str(environ))
        self.assertEqual({"job_submission_id": "1"}, json.loads(environ[JOB_CONFIG])["metadata"])
        for none in ({}, {JOB_CONFIG: ""}, {JOB_CONFIG: "{}"}, {JOB_CONFIG: '{"metadata": null}'}):
            self.assertEqual("", take_credentials(none))


if __name__ == "__main__":
    unittest.main()
