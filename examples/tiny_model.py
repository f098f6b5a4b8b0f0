"""Makes a model directory that dynamo.mocker can serve: a tokenizer, and no weights.

The examples name the directory by an absolute path that is the same on every
machine, because `model:` reaches the engine as it is written. On a cluster of
several machines it has to be made on each.
"""

import argparse
import json
import os
import shutil
import tempfile

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", help="where the model goes; what is there is replaced")
    target = os.path.abspath(parser.parse_args().directory)
    # Made aside and renamed, so that nobody ever reads half of it.
    made = tempfile.mkdtemp(prefix=os.path.basename(target) + "-", dir=os.path.dirname(target))
    try:
        write_model(made)
        os.chmod(made, 0o755)
        if os.path.isdir(target):
            shutil.rmtree(target)
        os.rename(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    main()
