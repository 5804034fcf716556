"""Small random language models in the form of `transformers`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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


def gguf(path: Path) -> np.ndarray:
    """Write a Llama of one layer as a GGUF file whose words are <e>, a, b, ...; return its embeddings."""
    from gguf import GGUFWriter

    width, inner = 32, 64
    words = ["<e>", *map(chr, range(97, 123)), "ab"]
    drawn = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    for key, count in {"context": 24, "embedding": width, "feed_forward": inner}.items():
        getattr(writer, f"add_{key}_length")(count)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    shapes = {"token_embd": (len(words), width), "output_norm": (width,)}
    shapes |= {f"blk.0.attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{name}": (inner, width) for name in ("gate", "up")}
    shapes |= {"blk.0.ffn_down": (width, inner), "blk.0.attn_norm": (width,), "blk.0.ffn_norm": (width,)}
    weights = {name: drawn.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, weight in weights.items():
        writer.add_tensor(f"{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights["token_embd"]
