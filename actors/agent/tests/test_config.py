"""The agent's settings."""

import base64
import json
import unittest

from dynctl_agent.config import Config


class TestConfig(unittest.TestCase):
    def test_credentials_come_by_themselves(self):
        text = base64.b64encode(json.dumps({"natsUrl": "nats://h", "storeId": "s", "rayNamespace": "n"}).encode()).decode()
        config = Config.decode(text, json.dumps({"user": "me", "password": "hush"}))
        self.assertEqual({"user": "me", "password": "hush"}, config.nats_options())
        self.assertNotIn("hush", base64.b64decode(text).decode())
        self.assertEqual({"token": "t"}, Config.decode(text, json.dumps({"token": "t"})).nats_options())
        self.assertEqual({}, Config.decode(text).nats_options())


if __name__ == "__main__":
    unittest.main()
