"""The floor: what `dynctl render` prints, made with Ray's API alone, by one driver that
knows nothing else and repairs nothing. One command a line, one JSON answer a line.

floor.py RAY_ADDRESS DIRECTORY. Commands: {"do": "start", "render", "ports"} makes what is
not there yet, all at once; {"do": "stop"}; {"do": "actor", "warm"} makes one actor, and
tells how long that took.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

POLL = 0.005
# What others need before they are executed, with the port that it is rendered with.
FIRST = {"_Dynamo_ETCD": "2379", "_Dynamo_NATS": "4222"}


class Program:
    """The actor: one process."""

    def execute(self, argv: list[str], env: dict[str, str], log: str) -> int:
        """Start it; returns its pid."""
        gpus = ",".join(map(str, ray.get_runtime_context().get_accelerator_ids().get("GPU") or []))
        values = {"{py}": sys.executable, "{gpus}": gpus}
        argv = [values.get(word, word) for word in argv]
        env = {name: values.get(text, text) for name, text in env.items()}
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                argv, env={**os.environ, **env}, stdout=out, stderr=out, start_new_session=True
            )
        return self.process.pid

    def stop(self) -> None:
        """End it."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()

    def ready(self) -> bool:
        """Answers when the actor is there."""
        return True


def nothing() -> None:
    """A task."""


class Floor:
    """The groups and actors that were made, by name."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.groups: dict[str, Any] = {}
        self.actors: dict[str, Any] = {}
        self.ip = ray.util.get_node_ip_address()
        self.actor: Any = ray.remote(Program)

    def start(self, render: dict[str, Any], ports: dict[str, int]) -> None:
        """Everything at once; processes as soon as what they need listens."""
        new = [a for a in render["actors"] if a["name"] not in self.actors]
        for g in render["placementGroups"]:
            if g["name"] not in self.groups:
                self.groups[g["name"]] = placement_group(
                    g["bundles"], strategy=g["strategy"], name=g["name"], lifetime="detached"
                )
        for a in new:
            where = PlacementGroupSchedulingStrategy(self.groups[a["placementGroup"]], a["bundle"])
            self.actors[a["name"]] = self.actor.options(
                name=a["name"], lifetime="detached", num_cpus=1, num_gpus=a["gpus"], scheduling_strategy=where
            ).remote()
        first = [a for a in new if any(a["name"].endswith(end) for end in FIRST)]
        ray.get([self.execute(a, ports) for a in first])
        for a in first:
            self.until_listening(ports[next(p for end, p in FIRST.items() if a["name"].endswith(end))])
        ray.get([self.execute(a, ports) for a in new if a not in first])

    def execute(self, actor: dict[str, Any], ports: dict[str, int]) -> Any:
        """Its process, with ports that are free."""
        directory = os.path.join(self.directory, actor["name"])
        os.makedirs(directory, exist_ok=True)

        def filled(text: str) -> str:
            text = re.sub(r"\{ip:[^}]*\}", self.ip, text).replace("{RD}", directory)
            return re.sub(r"\b(2379|2380|4222|203\d\d)\b", lambda m: str(ports[m[0]]), text)

        argv = [filled(word) for word in actor["argv"]]
        env = {name: filled(text) for name, text in actor["env"].items()}
        return self.actors[actor["name"]].execute.remote(argv, env, os.path.join(directory, "log"))

    def until_listening(self, port: int) -> None:
        """Until a port answers."""
        while True:
            try:
                socket.create_connection((self.ip, port), timeout=1).close()
                return
            except OSError:
                time.sleep(POLL)

    def stop(self) -> None:
        """End everything, etcd and NATS last."""
        last = [n for n in self.actors if any(n.endswith(end) for end in FIRST)]
        for names in ([n for n in self.actors if n not in last], last):
            ray.get([self.actors[n].stop.remote() for n in names])
        for handle in self.actors.values():
            ray.kill(handle)
        for group in self.groups.values():
            remove_placement_group(group)
        self.groups, self.actors = {}, {}

    def one_actor(self, warm: bool) -> float:
        """Seconds to make an actor; warm: a worker process is idle that ran a task of ours."""
        if warm:
            ray.get(ray.remote(nothing).options(num_cpus=1).remote())
        begun = time.monotonic()
        made = self.actor.options(num_cpus=1).remote()
        ray.get(made.ready.remote())
        took = time.monotonic() - begun
        ray.kill(made)
        return took


def main() -> None:
    address, directory = sys.argv[1:3]
    ray.init(address=address, namespace="floor", log_to_driver=False, logging_level=logging.ERROR)
    floor = Floor(directory)
    print("{}", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if command["do"] == "start":
                floor.start(command["render"], command["ports"])
            elif command["do"] == "actor":
                answer["seconds"] = floor.one_actor(command["warm"])
            else:
                floor.stop()
        except Exception as err:  # told to the caller, who decides
            answer["error"] = repr(err)
        print(json.dumps(answer), flush=True)


main()
