"""What a template says, to the job and to its actor: which values it asks for and which
ports are a process's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PLACEHOLDER = re.compile(r"\{(?:py|RD|gpus|(?:ip|port):[^{}/]+/[^{}/]+)\}")


def references(template: dict[str, Any]) -> list[str]:
    """The placeholders of a template that name a unit, each once, in order."""
    found: dict[str, None] = {}
    for text in [*template["argv"], *(v.get("value") for v in template.get("env") or [])]:
        if isinstance(text, dict):
            for match in PLACEHOLDER.findall(text.get("expand", "")):
                if match.startswith(("{ip:", "{port:")):
                    found[match] = None
    return list(found)


def promised(rules: list[dict[str, Any]], ports: Mapping[str, int]) -> list[int]:
    """The ports that a process with these rules gets or waits for, also while it holds
    none: the exact ones, and those that it comes back on."""
    exact = {r["name"]: r["seed"] for r in rules if r.get("exact")}
    sticky = {r["name"]: ports[r["name"]] for r in rules if r.get("sticky") and r["name"] in ports}
    return span(rules, {**sticky, **exact})


def span(rules: list[dict[str, Any]], ports: Mapping[str, int]) -> list[int]:
    """Every port that a process with these rules holds, those in a row included."""
    counts = {r["name"]: r.get("count") or 1 for r in rules}
    return [p + i for name, p in sorted(ports.items()) for i in range(counts.get(name, 1))]
