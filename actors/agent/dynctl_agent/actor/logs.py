"""Log files of processes: the end of one, and what keeps them small."""

from __future__ import annotations

import os
import re

from . import ownfile

ROTATE_BYTES = 64 << 20
TAIL_BYTES = 64 << 10
TAIL_LINES = 50
# Where the cause of an exit is looked for, and what of the log is told with it.
CAUSE_BYTES = 1 << 20
TOLD_BYTES, TOLD_LINE = 8 << 10, 1 << 10
# Escape sequences of terminals: colours and the like, titles and links, the rest.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")


def read_tail(path: str, num_bytes: int = TAIL_BYTES) -> str:
    """The last num_bytes of a file as text; "" when there is none.

    What is not UTF-8 (also a character cut in two) becomes U+FFFD.
    """
    if num_bytes <= 0:
        return ""
    try:
        with open(path, "rb", opener=ownfile.opener) as f:
            size = f.seek(0, os.SEEK_END)
            f.seek(max(0, size - num_bytes))
            return f.read(num_bytes).decode("utf-8", "replace")
    except OSError:
        return ""


def whole_tail(path: str, num_bytes: int, rotated: bool) -> str:
    """The same across a rotation: what was moved to .1 comes first."""
    text = read_tail(path, num_bytes)
    left = num_bytes - len(text)
    return read_tail(path + ".1", left) + text if rotated and left > 0 else text


def last_lines(text: str, count: int = TAIL_LINES) -> str:
    """The last count lines, without the newline at the end."""
    return "\n".join(text.splitlines()[-count:])


def told(text: str, heading: str = "") -> str:
    """The last lines below a heading, in TOLD_BYTES of UTF-8: of a long line its
    beginning, and of too many lines the last ones."""
    left = TOLD_BYTES - len(heading.encode())
    lines: list[str] = []
    for line in reversed(last_lines(text).splitlines()):
        line = line if len(line) <= TOLD_LINE else line[:TOLD_LINE] + "…"
        left -= len(line.encode()) + 1
        if left < 0:
            break
        lines.append(line)
    return heading + "\n".join(reversed(lines))


def plain(text: str) -> str:
    """The text without the escape sequences of terminals."""
    return ESCAPES.sub("", text)


def exit_message(label: str, log_tail: str) -> str:
    """What is told about a process that ended by itself."""
    tail = last_lines(log_tail) or "(no log output)"
    return (
        f"Dynamo {label} subprocess exited unexpectedly.\n\n"
        f"--- {label} log (last {TAIL_LINES} lines) ---\n{tail}"
    )


def keep_previous(path: str) -> None:
    """Keep the log of the attempt before as .1. Raises UnsafePath if what is there is
    not ours."""
    try:
        if ownfile.file_stat(path).st_size > 0:
            ownfile.replace(path, path + ".1")
    except FileNotFoundError:
        pass


def rotate_if_large(path: str, limit: int = ROTATE_BYTES) -> bool:
    """Copy a log past the limit to .1 and empty it; the writer appends, so it goes on.

    What is written between the last read and the truncation is lost: a moment, since
    the copy goes on until it has caught up.
    """
    try:
        if ownfile.file_stat(path).st_size < limit:
            return False
        with open(path, "r+b", opener=ownfile.opener) as src, open(path + ".1", "wb", opener=ownfile.opener) as dst:
            while True:
                chunk = src.read(1 << 20)
                if not chunk:
                    break
                dst.write(chunk)
            src.truncate(0)
        return True
    except (FileNotFoundError, ownfile.UnsafePath):
        return False  # what is not ours is told to whoever reads it


def runtime_paths(session_dir: str, server: str, unit: str, label: str) -> tuple[str, str]:
    """The runtime directory of a unit and the log of one of its processes."""
    directory = os.path.join(session_dir, f"nemo_curator_dynamo_{server}_{unit}")
    return directory, os.path.join(directory, f"{label}.log")
