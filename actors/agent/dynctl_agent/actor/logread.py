"""Reading the log of a process for somebody who follows it, in the actor.

A reader says where it stands (Position). A log is rotated under it, and starts
over with each attempt; what it had not read by then lies in `.1` and comes first.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from . import ownfile

if TYPE_CHECKING:
    from ..common.messages import LogPiece, LogRequest

# The text of one answer as JSON, in bytes: it has to fit into a message.
REPLY_BYTES = 192 << 10
BLOCK = 64 << 10


class Position(NamedTuple):
    """Up to where a log was read: the attempt that wrote it, how often the actor had
    rotated, bytes from the beginning of the file, and the file (its inode), which
    tells a log that moved from another."""

    attempt: int
    rotations: int
    offset: int
    file: int


class Log(NamedTuple):
    """The log of an actor now: its path, whose it is, how often the actor has rotated."""

    path: str
    attempt: int
    rotations: int


def first(log: Log, lines: int) -> LogPiece:
    """The beginning of a reading: the last lines of the log; all if negative."""
    return _chunk(log, 0 if lines < 0 else tail_offset(log.path, lines))


def previous(log: Log, at: Position | None, lines: int) -> LogPiece:
    """The same of `.1`: the log of the attempt before, or what was rotated away."""
    older = Log(log.path + ".1", at.attempt if at else max(log.attempt - 1, 0), log.rotations)
    return _chunk(older, at.offset) if at else first(older, lines)


def read(log: Log, at: Position) -> LogPiece:
    """What follows a position."""
    # A recreated actor has executed and rotated nothing yet.
    log = log._replace(attempt=log.attempt or at.attempt, rotations=max(log.rotations, at.rotations))
    older = Log(log.path + ".1", at.attempt, at.rotations)
    if at.attempt != log.attempt:
        # An attempt that wrote nothing leaves its file to the next one.
        if at.file and inode(older.path) == at.file and size(older.path) > at.offset:
            return {**_chunk(older, at.offset), "more": True}
        return _chunk(log, 0)
    if at.rotations < log.rotations or at.offset > size(log.path):
        # .1 is a copy, and the file itself was emptied.
        if log.rotations - at.rotations <= 1 and size(older.path) > at.offset:
            return {**_chunk(older, at.offset), "file": at.file, "more": True}
        # A rotation is counted only after it was done.
        return _chunk(log._replace(rotations=max(log.rotations, at.rotations + 1)), 0)
    return _chunk(log, at.offset)


def position(request: LogRequest) -> Position | None:
    """Where the reader stands; None at the beginning."""
    offset = request.get("offset")
    if offset is None:
        return None
    return Position(int(request["attempt"]), int(request["rotations"]), int(offset), int(request["file"]))


def size(path: str) -> int:
    """The size in bytes; 0 when there is no such file. Raises UnsafePath."""
    try:
        return ownfile.file_stat(path).st_size
    except ownfile.UnsafePath:
        raise
    except OSError:
        return 0


def inode(path: str) -> int:
    """The inode; 0 when there is no such file. Raises UnsafePath."""
    try:
        return ownfile.file_stat(path).st_ino
    except ownfile.UnsafePath:
        raise
    except OSError:
        return 0


def tail_offset(path: str, lines: int) -> int:
    """Where the last lines begin; an unfinished last line counts as one."""
    end = size(path)
    if end == 0 or lines == 0:
        return end
    found, at = 0, end
    with open(path, "rb", opener=ownfile.opener) as f:
        while at > 0:
            start = max(0, at - BLOCK)
            f.seek(start)
            block = f.read(at - start)
            i = len(block)
            while (i := block.rfind(b"\n", 0, i)) >= 0:
                if start + i == end - 1:
                    continue  # it ends the last line
                found += 1
                if found == lines:
                    return start + i + 1
            at = start
    return 0


def _chunk(log: Log, offset: int) -> LogPiece:
    data, file = b"", 0
    try:
        with open(log.path, "rb", opener=ownfile.opener) as f:
            file = os.fstat(f.fileno()).st_ino
            f.seek(offset)
            data = f.read(REPLY_BYTES)
    except ownfile.UnsafePath:
        raise
    except OSError:
        pass
    text = data.decode("utf-8", "replace")
    while len(json.dumps(text)) > REPLY_BYTES:
        data = data[: len(data) // 2]
        text = data.decode("utf-8", "replace")
    whole = _without_cut_character(data)
    if len(whole) < len(data):
        data, text = whole, whole.decode("utf-8", "replace")
    at = offset + len(data)
    return {
        "text": text, "attempt": log.attempt, "rotations": log.rotations, "offset": at, "file": file,
        "more": bool(data) and at < size(log.path), "path": log.path,
    }


def _without_cut_character(data: bytes) -> bytes:
    """data without the beginning of a character at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:  # the first byte of a character of so many
            needs = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            # A file that is nothing but such a beginning is not UTF-8.
            return data[:-back] if needs > back and back < len(data) else data
    return data
