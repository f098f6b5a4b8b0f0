"""Where the programs of processes are found."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence


def search_path(inherited: Mapping[str, str], bin_dirs: Sequence[str]) -> str:
    """Where programs are looked for: beside Python, in --bin-dir, on PATH."""
    return os.pathsep.join([os.path.dirname(sys.executable), *bin_dirs, inherited.get("PATH", os.defpath)])
