"""Structured log lines on stdout, which is the log of the Ray job."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> float:
    """Seconds of an RFC 3339 time; nanoseconds are cut to microseconds."""
    head, _, rest = text.partition(".")
    if not rest:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    digits = ""
    for c in rest:
        if not c.isdigit():
            break
        digits += c
    zone = rest[len(digits) :].replace("Z", "+00:00")
    return datetime.datetime.fromisoformat(f"{head}.{digits[:6]:0<6}{zone}").timestamp()


def log(level: str, msg: str, /, **fields: Any) -> None:
    """One JSON line: time, level, msg and the fields that are not empty."""
    line = {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(), "level": level, "msg": msg}
    line.update((k, v) for k, v in fields.items() if v not in (None, ""))
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()
