"""Stands for vLLM where there is no GPU: the words that the peer gives to dynamo.vllm,
as far as dynamo.mocker takes them, and then that, in the same process.

It is found because this directory is first on PYTHONPATH and `dynamo` is a namespace
package, of which everything else comes from Dynamo itself.
"""

import itertools
import runpy
import sys

# By the word of dynamo.vllm. What is not listed is vLLM's own, and is left out.
WORDS = {
    "--model": "--model-path",
    "--served-model-name": "--model-name",
    "--endpoint": "--endpoint",
    "--discovery-backend": "--discovery-backend",
    "--request-plane": "--request-plane",
    "--event-plane": "--event-plane",
    "--disaggregation-mode": "--disaggregation-mode",
}


def translated(words: list[str]) -> list[str]:
    """The command line of dynamo.mocker; every word kept has one value."""
    out: list[str] = []
    for word, value in itertools.pairwise(words):
        if word in WORDS:
            out += [WORDS[word], value]
    return out


sys.argv = ["dynamo.mocker", *translated(sys.argv[1:])]
runpy.run_module("dynamo.mocker", run_name="__main__", alter_sys=True)
