"""Makes a model directory that dynamo.mocker can serve: a tokenizer, and no weights.

The examples name the directory by an absolute path that is the same on every
machine, because `model:` reaches the engine as it is written. On a cluster of
several machines it has to be made on each.
"""

import argparse
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
# The mocker answers with random token ids; these make words of them.
SYLLABLES = [c + v for c in "bcdfghjklmnprstvwz" for v in "aeiou"]
VOCABULARY = 32768
CORPUS = "The quick brown fox jumps over the lazy dog while Ray starts actors and Dynamo serves tokens."


def write_json(directory: str, name: str, value: dict) -> None:
    with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, sort_keys=True)


def add_words(path: str) -> int:
    """Fills the vocabulary of a tokenizer up with made-up words; returns its size."""
    with open(path, encoding="utf-8") as f:
        tokenizer = json.load(f)
    vocabulary = tokenizer["model"]["vocab"]
    words = (f"\u0120{a}{b}{c}" for c in ["", *SYLLABLES] for a in SYLLABLES for b in SYLLABLES)
    while len(vocabulary) < VOCABULARY:
        vocabulary.setdefault(next(words), len(vocabulary))
    with open(path, "w", encoding="utf-8") as f:
        json.dump(tokenizer, f)
    return len(vocabulary)


def write_model(directory: str) -> None:
    """Writes the four files that Dynamo reads to build a model card."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    path = os.path.join(directory, "tokenizer.json")
    tokenizer.save(path)
    vocabulary = add_words(path)
    end_id = tokenizer.token_to_id(END)
    write_json(directory, "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": CHAT_TEMPLATE,
        "eos_token": END,
        "model_max_length": 4096,
    })
    write_json(directory, "config.json", {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "torch_dtype": "float32",
    })
    write_json(directory, "generation_config.json", {"bos_token_id": end_id, "eos_token_id": end_id})


def require_ours(target: str) -> None:
    """Ends the program if somebody else has a hand in what stands there: everybody may
    make a name in /tmp, and what is served is what lies under it."""
    try:
        st = os.lstat(target)
    except FileNotFoundError:
        return
    why = ""
    if not stat.S_ISDIR(st.st_mode):
        why = "it is a symbolic link" if stat.S_ISLNK(st.st_mode) else "it is no directory"
    elif st.st_uid != os.geteuid():
        why = f"it belongs to user {st.st_uid}, and you are user {os.geteuid()}"
    if why:
        raise SystemExit(f"{target}: {why}; it is not used: remove it and run this again")


def replace_directory(target: str, write: Callable[[str], None]) -> None:
    """Makes a directory with what write puts into it, in place of one of ours. It is made
    aside and renamed, so that nobody ever reads half of it."""
    require_ours(target)
    made = tempfile.mkdtemp(prefix=os.path.basename(target) + "-", dir=os.path.dirname(target))
    try:
        write(made)
        os.chmod(made, 0o755)
        if os.path.isdir(target):
            shutil.rmtree(target)
        os.rename(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", help="where the model goes; a directory of yours there is replaced")
    parser.add_argument(
        "--check", action="store_true", help="make nothing; fail if what stands there is somebody else's"
    )
    args = parser.parse_args()
    target = os.path.abspath(args.directory)
    if args.check:
        require_ours(target)
    else:
        replace_directory(target, write_model)


if __name__ == "__main__":
    main()
