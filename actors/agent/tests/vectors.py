"""Recorded outputs of Curator; see testdata/."""

from __future__ import annotations

import json
import pathlib
from typing import Any

TESTDATA = pathlib.Path(__file__).resolve().parent / "testdata"


def rows(name: str) -> list[dict[str, Any]]:
    """The cases of one file: name, input, want."""
    return json.loads((TESTDATA / f"{name}.json").read_text())
