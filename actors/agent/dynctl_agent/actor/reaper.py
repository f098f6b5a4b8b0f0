"""The process that ends an actor's children when the actor is gone.

PR_SET_PDEATHSIG ends the direct child only, and Ray ends at most the direct
children of an actor. The reaper reads a pipe whose other end only the actor holds;
at end of file it ends every process group that was announced and not taken back, and
removes what they were announced to leave.
It is no child of the actor (Ray kills those together with the actor) and has a
session of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys

# It is told as source, because the node of the actor has no file of ours.
SOURCE = r"""
import os, signal, time
if os.fork():
    os._exit(0)
os.setsid()
for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(s, signal.SIG_IGN)
os.chdir("/")
null = os.open(os.devnull, os.O_RDWR)
os.dup2(null, 1)
os.dup2(null, 2)
groups, made, rest = set(), {}, b""
while True:
    chunk = os.read(0, 65536)
    if not chunk:
        break
    *lines, rest = (rest + chunk).split(b"\n")
    for line in lines:
        if line[:1] == b"+":
            groups.add(int(line[1:]))
        elif line[:1] == b"-":
            groups.discard(int(line[1:]))
        elif line[:1] == b"~":
            inode, _, path = line[1:].partition(b" ")
            made[path] = int(inode)
def members():
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as f:
                text = f.read()
        except OSError:
            continue
        f = text[text.rfind(b")") + 2:].split(b" ", 5)
        if f[0] not in (b"Z", b"X") and (int(f[2]) in groups or int(f[3]) in groups):
            yield int(name)
for n in range(1000):
    left = list(members()) if groups else []
    if not left:
        break
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    time.sleep(0.005 if n < 100 else 0.1)
else:
    made = {}  # something lives on
if made:
    import shutil, stat
for path, inode in made.items():
    try:
        st = os.lstat(path)
        if st.st_ino == inode and stat.S_ISDIR(st.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        elif st.st_ino == inode:
            os.unlink(path)
    except OSError:
        pass
"""


class Reaper:
    """The actor's side of the pipe."""

    def __init__(self) -> None:
        self._pipe = -1
        self._launcher: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the reaper; it is ready long before anything is announced to it."""
        if self._pipe >= 0:
            os.close(self._pipe)
        read_end, self._pipe = os.pipe()
        try:
            self._launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", SOURCE],
                stdin=read_end,
                start_new_session=True,
                close_fds=True,
            )
        finally:
            os.close(read_end)

    def ready(self) -> int:
        """The descriptor on which a child announces itself; a dead reaper is replaced.

        The launcher must have ended before the actor adopts orphans: the reaper
        would become its child.
        """
        self._wait_launcher()
        try:
            os.write(self._pipe, b"\n")
        except BrokenPipeError:
            self.start()
            self._wait_launcher()
        return self._pipe

    def forget(self, group: int) -> None:
        """Take back a group that is gone, so that its number may be used again."""
        try:
            os.write(self._pipe, b"-%d\n" % group)
        except BrokenPipeError:
            pass  # ready() replaces the reaper before the next child

    def remove(self, path: str, inode: int) -> None:
        """Announce a file or directory of the children, to be removed after their end if
        it is still the one with that inode."""
        if "\n" in path:
            return  # it could not be told from two lines
        try:
            os.write(self._pipe, b"~%d %s\n" % (inode, os.fsencode(path)))
        except BrokenPipeError:
            pass

    def _wait_launcher(self) -> None:
        if self._launcher is not None:
            self._launcher.wait()
            self._launcher = None
