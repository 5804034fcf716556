"""Write what the whole public HRM-Text model says and learns, `hrm_text_model.json`:

    pip install --target FOLDER 'transformers>=5.24'
    PYTHONPATH=FOLDER:tests python tests/golden/make_hrm_text_model.py

The library rounds its norms and its rotary tables to float32 in a model of any precision. Here they are left
in float64, so that agreement can be told to the last digits; all else is as it is published.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from golden.make_hrm_text import BACK, CYCLES, LATENT_STEPS
from hrm_text import named, ours
from torch import Tensor

from recurlight import Recursion, Sizes
from recurlight.cells.layers import EPSILON

FILE = Path(__file__).with_name("hrm_text_model.json")
SIZES, LAYERS, HEADS, UNIT = Sizes(vocab=9, tokens=6, width=8), 1, 2, 16


def unrounded(model: Any) -> None:
    """Leave norms and rotary tables in float64."""
    for part in model.modules():
        if type(part).__name__ == "HrmTextRMSNorm":
            part.forward = part._norm
    rotary = model.model.rotary_emb

    def tables(x: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        head = 2 * len(rotary.inv_freq)
        frequency = 10000.0 ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
        angle = (places[..., None].double() * frequency).repeat(1, 1, 2)
        return angle.cos(), angle.sin()

    rotary.forward = tables


def published(sizes: Sizes, layers: int, heads: int, draw: Callable[..., Tensor], exact: bool = True) -> Any:
    """Return the library's model with weights that are drawn, in float64."""
    from transformers import HrmTextConfig, HrmTextForCausalLM  # here, so that the tests need no library

    config = HrmTextConfig(
        vocab_size=sizes.vocab,
        hidden_size=sizes.width,
        intermediate_size=sizes.width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        head_dim=sizes.width // heads,
        H_cycles=CYCLES,
        L_cycles=LATENT_STEPS,
        L_bp_cycles=BACK,
        rms_norm_eps=EPSILON,
        embedding_scale=sizes.width**0.5,  # as `TokenEncoder` has it
    )
    model = HrmTextForCausalLM(config).double()
    for weight in model.parameters():
        weight.data = draw(*weight.shape)
    if exact:
        unrounded(model)
    return model


def copied(model: Any, recursion: Recursion) -> Recursion:
    """Copy the weights of the library's model into ours."""
    theirs = dict(model.named_parameters())
    for names, weight in named(recursion).items():
        weight.data = torch.cat([theirs[f"{name}.weight"].detach() for name in names.split()])
    recursion.refiner.latent_start.vector = model.model.z_L_init.detach().clone()
    return recursion


def main() -> None:
    generator = torch.Generator().manual_seed(0)

    def units(*shape: int) -> Tensor:
        return torch.randint(-12, 13, shape, generator=generator).double() / UNIT

    model = published(SIZES, LAYERS, HEADS, units).train()
    text = torch.randint(1, SIZES.vocab, (2, SIZES.tokens), generator=generator)
    pull = units(2, SIZES.tokens, SIZES.vocab)
    logits = model(input_ids=text, use_cache=False).logits
    (logits * pull).sum().backward()
    recursion, theirs = copied(model, ours(SIZES, LAYERS, HEADS)), dict(model.named_parameters())
    whole = {"text": text, "pull": pull * UNIT, "latent_start": model.model.z_L_init * UNIT}
    kept: dict[str, Any] = {name: value.int().tolist() for name, value in whole.items()}
    kept["weights"] = {name: (weight * UNIT).int().tolist() for name, weight in named(recursion).items()}
    kept["logits"] = logits.tolist()
    kept["gradients"] = {
        names: torch.cat([theirs[f"{name}.weight"].grad for name in names.split()]).tolist()
        for names in kept["weights"]
    }
    rounded = json.loads(json.dumps(kept), parse_float=lambda number: float(f"{float(number):.11g}"))
    FILE.write_text(
        "".join(["{\n", ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in rounded.items()), "\n}\n"])
    )


if __name__ == "__main__":
    main()
