"""One executed process with its process group.

A process gets a session of its own, does not outlive the thread that started it
(the actor's event loop, which lives as long as the actor), and is announced to the
reaper before it is executed, so that no moment exists at which the death of the
actor leaves it behind.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from .ownfile import opener
from .procfs import processes
from .reaper import Reaper

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """prctl(2); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        err = ctypes.get_errno()
        raise OSError(err, f"prctl({option}): {os.strerror(err)}")


def childless() -> bool:
    """True if this process has no child, not even one that waits to be reaped. It
    spares a walk through /proc in the common case."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


class Command(NamedTuple):
    """What is executed, with exactly this environment; output goes to the end of
    log_path, a file of ours, or nowhere."""

    program: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log_path: str | None = None


class Process:
    """A running (or ended) child. Make it with `spawn`, on an event loop's thread."""

    def __init__(
        self, popen: subprocess.Popen[bytes], reaper: Reaper, siblings: frozenset[int], command: Command
    ) -> None:
        self._popen = popen
        self.argv, self.env = command.argv, command.env  # that it was executed with
        self._reaper = reaper
        self._siblings = siblings
        self.pid = popen.pid
        loop = asyncio.get_running_loop()
        # The exit code, negative for a signal.
        self.exited: asyncio.Future[int] = loop.create_future()
        try:
            self._pidfd: int | None = os.pidfd_open(popen.pid)
            loop.add_reader(self._pidfd, self._on_exit)
        except (AttributeError, OSError):  # a kernel or a sandbox without pidfd
            self._pidfd = None
            threading.Thread(target=self._wait_in_thread, args=(loop,), daemon=True).start()

    @classmethod
    def spawn(cls, command: Command, reaper: Reaper) -> Process:
        """Execute a command; nothing of this process but its output file is inherited.

        Raises OSError when it cannot be executed.
        """
        announce = reaper.ready()
        # Orphans of the child come to this process, which reaps them; the first
        # process of a container often does not.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        parent = os.getpid()
        set_death_signal, kill = ctypes.CDLL(None).prctl, int(signal.SIGKILL)
        siblings = frozenset(() if childless() else (p.pid for p in processes() if p.ppid == parent))

        def before_exec() -> None:
            # Ray blocks SIGINT in the threads of its workers.
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            set_death_signal(PR_SET_PDEATHSIG, kill, 0, 0, 0)
            os.write(announce, b"+%d\n" % os.getpid())
            if os.getppid() != parent:
                os._exit(1)

        with open(command.log_path, "ab", opener=opener) if command.log_path else open(os.devnull, "ab") as out:
            popen = subprocess.Popen(
                list(command.argv),
                executable=command.program,
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
                preexec_fn=before_exec,
            )
        return cls(popen, reaper, siblings, command)

    def signal(self, signum: int) -> None:
        """Send a signal to the process alone; nothing happens if it has ended."""
        if not self.exited.done():
            self._popen.send_signal(signum)

    def members(self) -> list[int]:
        """Pids of what lives of the group: its members, those of its session, and
        orphans that came to this process. Ended ones are reaped on the way."""
        if childless():
            # Whatever this process has started and lost would be its child by now.
            return []
        own, left = os.getpid(), []
        for p in processes():
            adopted = p.ppid == own and p.pid not in self._siblings
            if not (adopted or p.pgrp == self.pid or p.session == self.pid):
                continue
            if p.state not in ("Z", "X"):
                left.append(p.pid)
            elif p.ppid == own and p.pid != self.pid:
                try:
                    os.waitpid(p.pid, os.WNOHANG)
                except ChildProcessError:
                    pass
        return left

    def signal_group(self, signum: int) -> None:
        """Send a signal to every member."""
        for pid in self.members():
            try:
                os.kill(pid, signum)
            except ProcessLookupError:
                pass

    async def end_group(self, term: float, kill: float = 5.0) -> bool:
        """End what is left of the group: SIGTERM, up to term seconds, SIGKILL, up to
        kill seconds. True once nothing is left."""
        gone = await end(lambda: not self.members(), self.signal_group, Patience(term, kill))
        if gone:
            self._reaper.forget(self.pid)
        return gone

    def _on_exit(self) -> None:
        code = self._popen.poll()
        if code is None or self._pidfd is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._tell(code)

    def _wait_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._popen.wait()
        loop.call_soon_threadsafe(self._tell, code)

    def _tell(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(code)


class Patience:
    """How long to wait, in seconds, after SIGTERM and after SIGKILL, and by which clock."""

    def __init__(
        self,
        term: float,
        kill: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.term, self.kill, self.clock, self.sleep = term, kill, clock, sleep


async def end(gone: Callable[[], bool], send: Callable[[int], None], patience: Patience) -> bool:
    """SIGTERM, then SIGKILL to what is still there; reports whether it is gone at last."""
    for signum, wait in ((signal.SIGTERM, patience.term), (signal.SIGKILL, patience.kill)):
        if gone():
            return True
        if signum == signal.SIGTERM and wait <= 0:
            continue
        send(signum)
        start, pause = patience.clock(), 0.005
        while patience.clock() - start < wait:
            await patience.sleep(min(pause, max(0.0, start + wait - patience.clock())))
            if gone():
                return True
            pause = min(pause * 2, 0.1)
    return gone()
