"""Structured log lines on stdout, which is the log of the Ray job."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def log(level: str, msg: str, /, **fields: Any) -> None:
    """One JSON line: time, level, msg and the fields that are not empty."""
    line = {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(), "level": level, "msg": msg}
    line.update((k, v) for k, v in fields.items() if v not in (None, ""))
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()
