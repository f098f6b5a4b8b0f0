"""Directories and files that nobody else has a hand in.

The session directory of Ray is writable by everybody, and the names below it are
known. So what stands there already may be somebody else's: a directory made
beforehand, a link to another file. It is never followed: each directory and file is
opened as it is, and then asked whose it is. Whoever changes a name meanwhile changes
nothing, for all that follows goes through what was opened.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UnsafePath(OSError):
    """A name of ours is somebody else's; the message says which, why, and what to do."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} on node {os.uname().nodename}: {why}; it is not followed: remove it")


def make_directory(path: str) -> None:
    """Make the directory, for this user alone, or make sure that it is. Raises
    UnsafePath if it is somebody else's, and OSError."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    directory = open_directory(path)
    try:
        mode = stat.S_IMODE(os.fstat(directory).st_mode)
        os.fchmod(directory, 0o700)
        if mode & OTHERS_WRITE:
            # Now that nobody can add anything: what was added before?
            for name, st in _entries(directory):
                _check(os.path.join(path, name), st)
    finally:
        os.close(directory)


def open_directory(path: str) -> int:
    """A descriptor of a directory of ours."""
    try:
        directory = os.open(path, DIRECTORY)
    except NotADirectoryError:  # a link too
        raise UnsafePath(path, _kind(os.lstat(path).st_mode) + " stands where the directory belongs") from None
    try:
        _check(path, os.fstat(directory))
    except UnsafePath:
        os.close(directory)
        raise
    return directory


def opener(path: str, flags: int) -> int:
    """For open(..., opener=opener): a regular file of ours, in a directory of ours; made
    with 0600. Raises UnsafePath and what os.open raises."""
    directory = open_directory(os.path.dirname(path))
    try:
        return _open(directory, path, flags)
    finally:
        os.close(directory)


def _open(directory: int, path: str, flags: int) -> int:
    name = os.path.basename(path)
    # Emptied only once it is known to be ours; a pipe must not be waited for.
    how = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = os.open(name, how, 0o600, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError:
        _check(path, os.lstat(name, dir_fd=directory), regular=True)
        raise
    try:
        st = os.fstat(file)
        _check(path, st, regular=True)
        os.set_blocking(file, True)
        if flags & os.O_CREAT and stat.S_IMODE(st.st_mode) & 0o077:
            os.fchmod(file, 0o600)
        if flags & os.O_TRUNC:
            os.ftruncate(file, 0)
    except OSError:
        os.close(file)
        raise
    return file


def file_stat(path: str) -> os.stat_result:
    """What a regular file of ours is. Raises as opener does."""
    directory = open_directory(os.path.dirname(path))
    try:
        st = os.lstat(os.path.basename(path), dir_fd=directory)
    finally:
        os.close(directory)
    _check(path, st, regular=True)
    return st


def replace(path: str, to: str) -> None:
    """Give a file of ours another name in its directory."""
    directory = open_directory(os.path.dirname(path))
    try:
        os.replace(os.path.basename(path), os.path.basename(to), src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def remove_entries(path: str, keep: list[str]) -> None:
    """Remove what is in a directory of ours but for the names to keep, and the directory
    if it is empty then. Raises UnsafePath, and FileNotFoundError if there is none."""
    directory = open_directory(path)
    try:
        for name, st in list(_entries(directory)):
            if name in keep:
                continue
            if stat.S_ISDIR(st.st_mode):
                # rmtree follows no link below what it is given.
                shutil.rmtree(f"/proc/self/fd/{directory}/{name}", ignore_errors=True)
            else:
                os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        os.rmdir(path)
    except OSError:
        pass  # something was kept


def names(path: str) -> list[str]:
    """What is in a directory of ours. Raises as remove_entries does."""
    directory = open_directory(path)
    try:
        return sorted(os.listdir(directory))
    finally:
        os.close(directory)


def _entries(directory: int) -> Iterator[tuple[str, os.stat_result]]:
    for name in os.listdir(directory):
        try:
            yield name, os.lstat(name, dir_fd=directory)
        except FileNotFoundError:
            pass  # gone meanwhile


def _check(path: str, st: os.stat_result, regular: bool = False) -> None:
    if stat.S_ISLNK(st.st_mode) or (regular and not stat.S_ISREG(st.st_mode)):
        raise UnsafePath(path, _kind(st.st_mode) + " stands where a file of ours belongs")
    if st.st_uid != os.geteuid():
        raise UnsafePath(path, f"it belongs to user {st.st_uid}, and this process is user {os.geteuid()}")
    if stat.S_ISREG(st.st_mode) and st.st_nlink > 1:
        raise UnsafePath(path, "the file has another name too (a hard link)")


def _kind(mode: int) -> str:
    for is_kind, text in (
        (stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"), (stat.S_ISREG, "a file"),
    ):
        if is_kind(mode):
            return text
    return "a device"
