"""Makes a model directory that vLLM can serve on a CPU: the tokenizer of
tiny_model.py and a Llama with random weights. It talks nonsense, and really
computes each token of it. Needs torch and transformers (make smoke-vllm).
"""

import argparse
import os

import torch
from tiny_model import replace_directory, write_model
from transformers import LlamaConfig, LlamaForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", help="where the model goes")
    replace_directory(os.path.abspath(parser.parse_args().directory), write_llama)


def write_llama(target: str) -> None:
    """Writes the tokenizer and the weights."""
    write_model(target)
    torch.manual_seed(1)
    # Large enough that 200 tokens take some seconds on one core.
    config = LlamaConfig.from_pretrained(
        target,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=24,
        num_attention_heads=8,
        num_key_value_heads=8,
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(target)


if __name__ == "__main__":
    main()
