"""The command line and the environment of a process, from its template."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..common.programs import search_path
from ..common.template import PLACEHOLDER
from .caches import FLASHINFER

if TYPE_CHECKING:
    from ..common.template import ActorTemplate, Text, Variable

# What a child must not inherit: settings of another Dynamo, and Ray's own, with
# which the child would take itself for a part of the actor's job.
DROPPED = ("ETCD_", "NATS_", "DYN_", "RAY_")

# Engines with processes beside the main one and with requests that last. The mocker has neither.
ENGINES = ("dynamo.vllm", "dynamo.sglang", "dynamo.trtllm")
GRACE = {"DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS": "0.5"}
# Words of a worker that others may read KV blocks of.
TRANSFERS = ("--disaggregation", "--kv-transfer")


# Dynamo asks the engine by a request of its own when nothing else has for 3 s, and waits
# 3 s for it: what tells a hung engine behind a live main process (docs/healing.md).
CANARIES = {"DYN_HEALTH_CHECK_ENABLED": "true", "DYN_CANARY_WAIT_TIME": "3", "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "3"}
# Words of a vLLM worker that has no canary, or one that nobody tried.
WITHOUT_CANARY = (
    "--disaggregation", "--headless", "--enable-multimodal", "--route-to", "--custom-encoder", "--realtime",
    "--embedding", "--classify", "--gms", "--benchmark", "--omni",
)


class ExecError(Exception):
    """The process cannot be executed as its template says; the message says why."""


def expand(text: Text, values: Mapping[str, str]) -> str:
    """The text with its placeholders replaced; a plain string is taken as it is."""
    if isinstance(text, str):
        return text

    def value(match: re.Match[str]) -> str:
        if match[0] not in values:
            raise ExecError(f"placeholder {match[0]} has no value")
        return values[match[0]]

    return PLACEHOLDER.sub(value, text.get("expand", ""))


def with_canaries(template: ActorTemplate) -> list[Variable]:
    """The variables of a template, and Dynamo's canaries where they are known to work:
    vLLM's aggregated workers. Elsewhere an endpoint without a canary is never ready.
    Where the specs say anything about them, theirs counts alone. They are no part of a
    template, so that an upgrade restarts nothing."""
    env = list(template.get("env") or [])
    words = [w for w in template["argv"] if isinstance(w, str)]
    if "dynamo.vllm" not in words or not (template.get("health") or {}).get("lease"):
        return env
    if any(w.startswith(WITHOUT_CANARY) for w in words) or any(v["name"] in CANARIES for v in env):
        return env
    canaries: list[Variable] = [{"name": name, "value": value} for name, value in CANARIES.items()]
    return [*canaries, *env]


def engine(template: ActorTemplate) -> str:
    """The module of the engine that a worker runs; "" for the mocker and all else."""
    return next((e for e in ENGINES if e in template["argv"]), "")


def grace(template: ActorTemplate) -> dict[str, str]:
    """Dynamo's wait between a worker's leaving discovery and its end, where the actor has
    waited already. A prefill worker keeps it: what decode still reads of it is counted
    nowhere. So does one whose etcd the actor cannot log in to: by a certificate."""
    words = [w for w in template["argv"] if isinstance(w, str)]
    if not engine(template) or any(w.startswith(TRANSFERS) for w in words):
        return {}
    if any(v["name"].startswith("ETCD_AUTH_C") for v in template.get("env") or []):
        return {}
    return GRACE


def with_defaults(template: ActorTemplate, own: Mapping[str, str]) -> list[Variable]:
    """The variables of a template after those that the actor adds: Dynamo's grace, its
    canaries, and the actor's own for this process. What the specs say counts for more."""
    added: list[Variable] = [{"name": name, "value": value} for name, value in {**grace(template), **own}.items()]
    # A default of the template gives way to a directory that outlives the unit.
    env = [v for v in with_canaries(template) if not (v == FLASHINFER and v["name"] in own)]
    return [*added, *env]


def child_environment(
    variables: Sequence[Variable],
    values: Mapping[str, str],
    inherited: Mapping[str, str],
    bin_dirs: Sequence[str],
) -> dict[str, str]:
    """What the process sees: the actor's environment without DROPPED, the GPUs, then
    the template's variables in order. Secrets are read here and nowhere else."""
    env = {k: v for k, v in inherited.items() if not k.startswith(DROPPED)}
    env["PATH"] = search_path(env, bin_dirs)
    # Ray leaves an empty value in actors without a GPU, which would hide the GPUs
    # from tools that only look.
    env.pop("CUDA_VISIBLE_DEVICES", None)
    if values.get("{gpus}"):
        env["CUDA_VISIBLE_DEVICES"] = values["{gpus}"]
    for var in variables:
        env[var["name"]] = _value(var, values, inherited)
    return env


def _value(var: Variable, values: Mapping[str, str], inherited: Mapping[str, str]) -> str:
    name = var["name"]
    if var.get("fromFile"):
        try:
            with open(var["fromFile"], encoding="utf-8") as f:
                return f.read().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as err:
            reason = getattr(err, "strerror", None) or "not UTF-8"
            raise ExecError(
                f"variable {name}: file {var['fromFile']} on node {os.uname().nodename}: {reason}; "
                "put it there or change fromFile"
            ) from None
    if var.get("fromEnv"):
        if var["fromEnv"] not in inherited:
            raise ExecError(
                f"variable {name}: {var['fromEnv']} is not set where the process starts "
                f"(node {os.uname().nodename}); set it for Ray's workers or change fromEnv"
            )
        return inherited[var["fromEnv"]]
    return expand(var.get("value", ""), values)


def command_line(argv: Sequence[Text], values: Mapping[str, str], path: str) -> tuple[str, list[str]]:
    """The program's file and the words it is executed with."""
    words = [expand(word, values) for word in argv]
    if not words:
        raise ExecError("the template has no command")
    program = shutil.which(words[0], path=path)
    if program is None:
        raise ExecError(
            f"{words[0]}: not found on node {os.uname().nodename}; put it on PATH or pass --bin-dir"
        )
    return program, words
