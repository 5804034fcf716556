"""Small random language models in the form of `transformers`."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers import SIZES, causal
from saved_models import made

from recurlight import HeadDecoder, HiddenEncoder, PretrainedBackbone, SingleRefiner

SYMBOLS = [9, 3, 5, 0, 1, 30]
ROWS = 32


def llama(folder: Path, seed: int = 0, **settings) -> str:
    """Write a Llama of random weights and without a tokenizer."""
    import transformers

    settings = {"num_hidden_layers": 3, "num_attention_heads": 2, "tie_word_embeddings": True} | settings
    sizes = {"vocab_size": ROWS, "hidden_size": 8, "intermediate_size": 16, "max_position_embeddings": 24}
    torch.manual_seed(seed)
    network = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **settings))
    network.save_pretrained(folder)
    return str(folder)


def tokenizer(folder: str) -> None:
    """Write a tokenizer of single characters beside it: a is 3, b is 4, ..."""
    import tokenizers
    import transformers

    words = {"<end>": 0, "?": 1, " ": 2} | {chr(97 + at): 3 + at for at in range(26)}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(words, [], unk_token="?"))
    made.decoder = tokenizers.decoders.Fuse()
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>").save_pretrained(folder)


def reasoner(path: str, layers: int | None = None, **parts):
    """A model on the published one of that folder."""
    settings = {
        "refiner": SingleRefiner(causal()),
        "encoder": HiddenEncoder(learned_positions=True),
        "decoder": HeadDecoder(),
        "backbone": PretrainedBackbone(path, layers=layers, symbols=SYMBOLS),
        "width": SIZES.width,
    }
    return made(**(settings | parts))
