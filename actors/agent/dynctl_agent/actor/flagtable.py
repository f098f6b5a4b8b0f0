"""Reads the command line that a program of Dynamo takes on this node from the program
itself, in a process of its own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import signal
import subprocess
import sys

# The imports of an engine take a minute on a busy node.
TIMEOUT = 240.0
# Bounds in bytes: of what a program prints, of a table as it is stored in node.<id>.
MOST_PRINTED, MOST_STORED = 2 << 20, 64 << 10


def read(source: str, program: str) -> dict[str, str]:
    """The table of a program on this node, packed, with a digest; or why there is none."""
    # No card is needed to parse arguments, and no name of a model is looked up.
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    child = subprocess.Popen(
        ["nice", "-n", "19", sys.executable, "-c", source, program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd="/", env=env, start_new_session=True,
    )
    try:
        printed, complaint = child.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TIMEOUT:.0f} s"}
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)  # an engine may leave processes behind
        except ProcessLookupError:
            pass
        child.wait()
    if child.returncode != 0:
        lines = complaint.decode("utf-8", "replace").strip().splitlines() or [f"exit code {child.returncode}"]
        return {"error": lines[-1][:300]}
    return packed(printed)


def packed(table: bytes) -> dict[str, str]:
    """A table as it is stored: gzip in base64."""
    stored = base64.b64encode(gzip.compress(table, 9, mtime=0)).decode()
    if len(table) > MOST_PRINTED or len(stored) > MOST_STORED:
        most = f"more than {MOST_PRINTED} or {MOST_STORED}"
        return {"error": f"the table has {len(table)} bytes, {len(stored)} packed: {most}"}
    return {"digest": hashlib.sha256(table).hexdigest()[:16], "table": stored}
