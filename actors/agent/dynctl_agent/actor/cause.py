"""Why a process ended, found in the end of its log.

An engine is several processes that write into one log, each line behind a prefix of
its writer, and the one that failed is seldom the one that writes last: vLLM's main
process ends with "see root cause above", Python chains exceptions, the other ranks of
a worker complain of the peer that they lost. So the log is read line by line into
what could have ended the process, and the last of those is followed back to what it
speaks of.
"""

from __future__ import annotations

import json
import re
import signal
from typing import NamedTuple

from . import hints

TEXT = 600  # characters of a cause
LINE = 4000  # characters of a line that are looked at
# So many lines of ordinary work after an error: the process lived on with it.
RECENT = 200
# A process that a signal ended did not end by what it said long before.
AT_ONCE = 40
MESSAGE_LINES = 12  # of an exception

# What stands before the text of a line: who writes, when, how bad it is.
WRITER = re.compile(r"\((?P<writer>[\w.:@/-]+(?: [\w.]+=[\w.]+)*,? pid=\d+(?:, ip=[\w.:]+)?)\) ?")
LEVELLED = (
    # vLLM
    re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]*\] ?)?"),
    # Dynamo
    re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z\s+(?P<level>TRACE|DEBUG|INFO|WARN|ERROR) (?:[\w.:<>]+: )?"),
    # TensorRT-LLM, from Python and from C++
    re.compile(r"\[\d\d/\d\d/\d{4}-[\d:]+\] \[TRT(?:-LLM)?\] (?:\[RANK \d+\] )?\[(?P<level>[VIWEF])\] ?"),
    re.compile(r"\[TensorRT-LLM\]\[(?P<level>[A-Z]+)\] ?"),
    # nats-server
    re.compile(r"\[\d+\] \d{4}/\d\d/\d\d [\d:.]+ \[(?P<level>[A-Z]{3})\] ?"),
    # torch
    re.compile(r"\[rank\d+\]:(?:\[(?P<level>[VIWEF])[\d ]+[\d:.]+ [^\]]*\])? ?"),
    # Python's own forms
    re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[,.]\d+)? (?:- )?(?:[\w.]+ - )?\[?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\]?[: -]+"),
    re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):[\w.]+: ?"),
)
STAMP = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [A-Z]+\d+)*\] ?")  # SGLang
BAD = {"ERROR", "ERR", "E", "CRITICAL", "FATAL", "FTL", "F", "PANIC", "DPANIC"}
FATAL = {"CRITICAL", "FATAL", "FTL", "F", "PANIC", "DPANIC"}

TRACEBACK = "Traceback (most recent call last):"
GROUPED = re.compile(r"\s{0,8}\| ?")  # a line of a group's
RULE = re.compile(r"\s*\+-")  # between the exceptions of a group
EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*(?P<name>[A-Za-z_]\w*)(?P<said>: .*)?$")
# Said by Python before the traceback of what ended nothing.
HARMLESS = re.compile(r"Exception ignored in|--- Logging error ---|exception was never retrieved|Exception in callback|Exception in default exception handler")
DIRECT = "The above exception was the direct cause of the following exception:"
WITHIN = "During handling of the above exception, another exception occurred:"
# Lines that speak for themselves, with the text that counts.
SPOKEN = (
    re.compile(r"thread '[^']*'(?: \(\d+\))? (?P<text>panicked at .*)"),
    re.compile(r"[\w./ -]{1,120}?: (?P<text>error: (?:unrecognized|ambiguous|argument|the following|one of|expected|no such|invalid|unexpected|too few).*)"),
    re.compile(r"(?P<text>error: (?:unexpected|invalid|unrecognized|the following|a value).*)"),
    re.compile(r"(?P<text>(?:fatal error|panic|Fatal Python error): .*)"),
    re.compile(r"(?P<text>terminate called .*)"),
    re.compile(r"(?P<text>(?:free|malloc|realloc)\(\): .*|double free or corruption.*|corrupted size.*|munmap_chunk.*)"),
    re.compile(r"(?P<text>.*error while loading shared libraries: .*)"),
    re.compile(r"(?:\[[^\]]*\] )?(?P<text>(?:Signal: )?(?:Segmentation fault|Bus error|Illegal instruction|Out of memory: Killed process)\b.*)"),
    re.compile(r".*\b(?P<text>[Ee]xit code: -\d+)"),
    re.compile(r"nats-server: (?P<text>.*)"),
    re.compile(r"(?P<text>flag provided but not defined: .*|invalid value .* for flag .*)"),
)

# What reports that something else went wrong, and not what.
EMPTY = re.compile(
    r"root cause above|stack trace(?: \(above\))? for (?:the )?root cause|EngineDeadError|Executor worker (?:returned error|died)"
    r"|scheduler is dead|Initialization failed\. Please see|child failed|relevant logs|please check the error log"
    r"|^KeyboardInterrupt|^SystemExit|^CancelledError|^GeneratorExit|died unexpectedly|failed to start\.?$|shutting down"
    r"|Engine loop has died|hit an exception: *$|handler failed\.?$|^response failed classification|^Process \S+:$"
)
# What a process sees of the end of another one, or repeats of what it said.
ECHO = re.compile(
    r"^EOFError|^BrokenPipeError|^ConnectionResetError|Connection reset by peer|Connection closed by peer|TCPStore|monitoredBarrier"
    r"|Broken pipe|remote process exited|ncclRemoteError|Worker failed with error|^DistBackendError|Gloo.*connection"
)

OUT_OF_MEMORY = "out of memory: the kernel killed a process of it (OOM killer)"


class Cause(NamedTuple):
    """text: what ended a process, one line; hint: what to do, empty where not known."""

    text: str
    hint: str


class Line(NamedTuple):
    """One line: the process that wrote it, all that stands before its text, its level."""

    writer: str
    prefix: str
    level: str
    text: str


class Found:
    """Something that may have ended the process. Known says what is to be done then."""

    def __init__(self, at: int, text: str, fatal: bool = True) -> None:
        self.at, self.text, self.fatal = at, text, fatal
        self.end = at
        self.harmless = False
        self.before: Found | None = None  # the exception that it came of
        self.direct = False

    @property
    def hint(self) -> str:
        return hints.find(self.text)

    @property
    def tells(self) -> int:
        """How much it says: 0 nothing, 1 of another's end, 2 of its own."""
        return 0 if EMPTY.search(self.text) else 1 if ECHO.search(self.text) else 2


def of_exit(code: int, text: str, killed_for_memory: bool = False) -> Cause | None:
    """The cause of an exit with that code (negative: a signal), from the end of the log.
    killed_for_memory: the kernel has killed something for memory meanwhile."""
    found = find(text, RECENT if code >= 0 else AT_ONCE)
    if killed_for_memory and (found is None or found.tells < 2 or not found.fatal):
        return Cause(OUT_OF_MEMORY, hints.MEMORY)
    if found is not None and (code >= 0 or found.fatal):
        return Cause(found.text, found.hint)
    if code < 0:
        return Cause(f"ended by {name_of(-code)}", hints.KILLED if -code == signal.SIGKILL else hints.find(name_of(-code)))
    return None


def of_failure(text: str) -> Cause | None:
    """Of a process that was ended because it hung or did not come up, only what it said
    itself is a cause."""
    found = find(text, AT_ONCE)
    return Cause(found.text, found.hint) if found is not None and found.fatal else None


def taken(name: str, port: int) -> Cause:
    """Of a process that was ended because another one listens in its place."""
    return Cause(f"another program has taken its port {port} ({name})", hints.PORT)


def heading(cause: Cause | None) -> str:
    """What stands above the lines of a log."""
    if cause is None:
        return ""
    return f"cause: {cause.text}\n" + (f"hint: {cause.hint}\n" if cause.hint else "") + "---\n"


def name_of(signum: int) -> str:
    """SIGKILL and the like."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def find(text: str, recent: int = RECENT) -> Found | None:
    """What ended the process that wrote this."""
    lines = [split(line[:LINE]) for line in text.splitlines()]
    found = Reader().read(lines)
    last = len(lines)
    fatal = [f for f in found if f.fatal and not f.harmless]
    fatal = _since(fatal, lines, last, recent)
    if not fatal:
        logged = _since([f for f in found if not f.fatal], lines, last, recent)
        return max(reversed(logged), key=lambda f: f.tells) if logged else None
    best = fatal[-1]
    # One that speaks of another follows it soon.
    for f in reversed(_since(fatal, lines, best.at, AT_ONCE)):
        if best.tells == 2:
            break
        if f.tells > best.tells:
            best = f
    if best.tells == 2:
        return _root(best)
    # Of those that speak of others the first is the nearest to the cause.
    logged = [f for f in _since(found, lines, last, AT_ONCE) if f.tells == 2 and not f.harmless]
    return logged[-1] if logged else next(f for f in fatal if f.tells == best.tells)


def _since(found: list[Found], lines: list[Line], end: int, recent: int) -> list[Found]:
    """Those after which nobody did ordinary work for long."""
    counted: list[Found] = []
    quiet, at = 0, end
    for f in reversed(found):
        quiet += sum(1 for line in lines[f.end + 1 : at] if line.level and line.level not in BAD)
        if quiet > recent:
            break
        quiet, at = 0 if counted else quiet, min(at, f.at)
        counted.append(f)
    return counted[::-1]


def _root(found: Found) -> Found:
    """The exception of a chain that says most: one that something can be done about,
    else what the last one was raised from. One raised while another was handled is
    what the program wanted to say."""
    chain: list[Found] = [found]
    while chain[-1].before is not None:
        chain.append(chain[-1].before)
    for f in chain:
        if f.hint:
            return f
    root = found
    while root.direct and root.before is not None and root.before.tells == 2:
        root = root.before
    return root


def split(line: str) -> Line:
    """A line and what stands before its text."""
    if line.startswith("{"):
        structured = _structured(line)
        if structured:
            return structured
    rest, writer, level = line, "", ""
    for _ in range(3):
        match = WRITER.match(rest)
        if match:
            writer = writer or match["writer"]
        else:
            match = STAMP.match(rest)
        for form in LEVELLED:
            match = match or form.match(rest)
        if not match:
            break
        level = level or match.groupdict().get("level") or ""
        rest = rest[match.end() :]
    return Line(writer, line[: len(line) - len(rest)], level, rest.rstrip())


def _structured(line: str) -> Line | None:
    """etcd's lines, and Dynamo's with DYN_LOGGING_JSONL."""
    try:
        entry = json.loads(line)
        level = str(entry["level"]).upper()
    except (ValueError, KeyError, TypeError):
        return None
    said = str(entry.get("msg") or entry.get("message") or "")
    if entry.get("error"):
        said = f"{said}: {entry['error']}"
    return Line("", level, level, said)


class Reader:
    """Reads lines into what may have ended the process, each writer on its own."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._writers: dict[str, _Writer] = {}

    def read(self, lines: list[Line]) -> list[Found]:
        """All of it, in the order of the log."""
        for at, line in enumerate(lines):
            writer = self._writers.setdefault(line.writer, _Writer())
            f = writer.take(at, line)
            if f is not None:
                self.found.append(f)
        return sorted(self.found, key=lambda f: f.at)


class _Writer:
    """What one process writes: where in a traceback it is."""

    def __init__(self) -> None:
        self._frames = False  # within a traceback
        self._open: tuple[Found, str, int] | None = None  # an exception, its prefix, lines of its message
        self._last: Found | None = None  # the exception before, for what is chained to it
        self._link: bool | None = None  # to it: directly or not; None: not at all
        self._harmless = False
        self._awaits: Found | None = None  # a panic, whose message follows

    def take(self, at: int, line: Line) -> Found | None:
        """One more line; what it begins, if anything."""
        text = line.text
        if self._frames:
            text = GROUPED.sub("", text, count=1)
        if text.endswith(TRACEBACK):
            self._harmless = self._harmless or bool(HARMLESS.search(text))
            self._frames, self._open, self._awaits = True, None, None
            return None
        if self._frames:
            return self._frame(at, line, text)
        if self._goes_on(at, line, text):
            return None
        self._open = None
        if text in (DIRECT, WITHIN):
            self._link = text == DIRECT
            return None
        if text:
            self._harmless = bool(HARMLESS.search(text))
        return self._spoken(at, line, text)

    def _frame(self, at: int, line: Line, text: str) -> Found | None:
        if not text or text[0] in " \t^~|+" or text.startswith("[Previous line repeated"):
            return None
        self._frames = False
        match = EXCEPTION.match(text)
        if not match:
            return None
        f = Found(at, clip(match["name"] + (match["said"] or "")))
        # What was logged below an error was caught.
        f.harmless, self._harmless = self._harmless or (bool(line.level) and line.level not in BAD), False
        if self._link is not None and self._last is not None:
            f.before, f.direct = self._last, self._link
            # The chain is one: what came before is told only if this is.
            self._last.harmless = True
        self._last, self._link = f, None
        self._open = (f, line.prefix, 0)
        return f

    def _goes_on(self, at: int, line: Line, text: str) -> bool:
        """A further line of a message."""
        if self._awaits is not None:
            f, self._awaits = self._awaits, None
            f.text, f.end = clip(f"{f.text} {text}"), at
            return True
        if self._open is None or not text or text in (DIRECT, WITHIN):
            return False
        f, prefix, count = self._open
        if line.prefix != prefix or count >= MESSAGE_LINES or (line.level and line.level not in BAD):
            return False
        if RULE.match(text) or any(p.match(text) for p in SPOKEN) or HARMLESS.search(text) or EMPTY.search(text):
            return False
        f.end = at
        if not text.strip().startswith("For further information visit"):
            f.text = clip(f"{f.text} {text.strip()}")
        self._open = (f, prefix, count + 1)
        return True

    def _spoken(self, at: int, line: Line, text: str) -> Found | None:
        for pattern in SPOKEN:
            match = pattern.match(text)
            if match:
                f = Found(at, clip(match["text"]))
                if (f.text.startswith("panicked at") and f.text.endswith(":")) or f.text.startswith("terminate called after"):
                    self._awaits = f
                return f
        if line.level in BAD and text:
            return Found(at, clip(text), fatal=line.level in FATAL)
        return None


def clip(text: str) -> str:
    """One line, and no longer than a cause may be."""
    text = " ".join(text.split())
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"
