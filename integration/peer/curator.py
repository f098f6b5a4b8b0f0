"""The peer's side of the benchmark: one command a line, one JSON answer a line.

curator.py: RAY_ADDRESS says which cluster. Commands: {"do": "start", "models": [{"name",
"mode"}], "model", "port", "shim"}, {"do": "stop"}.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from nemo_curator.core.serve.dynamo import vllm
from nemo_curator.core.serve.dynamo.config import DynamoRoleConfig, DynamoServerConfig, DynamoVLLMModelConfig
from nemo_curator.core.serve.server import InferenceServer

# The environment that it would install for each of its actors, which takes minutes. What
# it needs is there already, so this is in its favour.
vllm.DYNAMO_VLLM_RUNTIME_ENV.clear()


def server(command: dict[str, Any]) -> InferenceServer:
    """What is asked for, with all else as it is by default."""
    models = []
    for m in command["models"]:
        roles = {"prefill": DynamoRoleConfig(), "decode": DynamoRoleConfig()} if m["mode"] == "disagg" else {}
        models.append(
            DynamoVLLMModelConfig(model_identifier=command["model"], model_name=m["name"], mode=m["mode"], **roles)
        )
    backend = DynamoServerConfig(subprocess_env={"PYTHONPATH": command["shim"]})
    return InferenceServer(models=models, backend=backend, name="peer", port=command["port"])


def main() -> None:
    running: InferenceServer | None = None
    print("{}", flush=True)
    for line in sys.stdin:
        command, begun = json.loads(line), time.monotonic()
        answer: dict[str, Any] = {}
        try:
            if command["do"] == "start":
                running = server(command)
                running.start()
            elif running is not None:
                running.stop()
                running = None
            answer["seconds"] = time.monotonic() - begun
        except Exception as err:  # told to the caller, who decides
            answer["error"] = repr(err)
        print(json.dumps(answer), flush=True)


main()
