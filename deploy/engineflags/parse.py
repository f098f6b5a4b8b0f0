"""Puts command lines of workers through the parser of the program itself.

    python parse.py vllm RENDERED.json...

RENDERED.json is what `dynctl render` prints. The engine is not started and no
model is read. Exit code 1: the program refused a command line, or there was none.
"""

import contextlib
import io
import json
import os
import re
import sys


def vllm():
    from dynamo.vllm.args import parse_args

    return parse_args


PARSERS = {"vllm": vllm}


def lines_of(program, path):
    """The names and the words of the program's processes in a rendering."""
    with open(path) as f:
        actors = json.load(f)["actors"]
    for actor in actors:
        if actor["argv"][1:3] == ["-m", "dynamo." + program]:
            # A placeholder stands for an address that the Ray side knows.
            words = [re.sub(r"\{ip:[^}]*\}", "127.0.0.1", word) for word in actor["argv"][3:]]
            yield actor["name"], words


def complaint(parse, words):
    """What the program has against the words; None where it takes them."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            parse(words)
    except SystemExit as e:
        if e.code in (0, None):
            return None
        return " ".join(said.getvalue().rpartition("error: ")[2].split())
    except Exception as e:  # the checks that follow the parsing raise what they like
        return f"{type(e).__name__}: {e}"
    return None


def main():
    program, paths = sys.argv[1], sys.argv[2:]
    for name in list(os.environ):
        if name.startswith(("DYN_", "VLLM_", "ETCD_", "NATS_", "HF_")):
            del os.environ[name]  # many are defaults of flags
    parse = PARSERS[program]()
    seen = refused = 0
    for path in paths:
        for name, words in lines_of(program, path):
            seen += 1
            why = complaint(parse, words)
            refused += why is not None
            print(f"{os.path.basename(path)}: {name}: {why or 'OK'}", flush=True)
    print(f"{seen} command lines, {refused} refused")
    return 1 if refused or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
