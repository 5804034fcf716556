"""Write what the public HRM-Text model computes, `hrm_text.json`. No test needs the library that has it:

    pip install --target FOLDER 'transformers>=5.24'
    PYTHONPATH=FOLDER python tests/golden/make_hrm_text.py

It first holds both refiners to the published networks, bit for bit in float64. Then it puts small networks in
their place, so that the few numbers which are kept tell of the recursion alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recurlight import QuestionStartRefiner, TwoLevelRefiner, TwoLevelState

FILE = Path(__file__).with_name("hrm_text.json")
CYCLES, LATENT_STEPS, WIDTH = 2, 3, 4
BACK = [2]  # latent steps with gradient in the last cycle; one in those before, as the library fills up


class Squash(nn.Module):
    """`u / (1 + |u|)` with `u = own * x + before * (the position before) + shift`: exact on any machine.

    Each operation is one that every processor rounds alike.
    """

    def __init__(self, own: Tensor, before: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.own, self.before, self.shift = (nn.Parameter(part) for part in (own, before, shift))

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        u = self.own * x + self.before * x.roll(1, dims=1) + self.shift
        return u / (1 + u.abs())


def published(seed: int) -> Any:
    """Return the library's model with random weights, in float64."""
    from transformers import HrmTextConfig, HrmTextModel

    torch.manual_seed(seed)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 8, "num_attention_heads": 2, "head_dim": 2}
    cycles = {"H_cycles": CYCLES, "L_cycles": LATENT_STEPS, "L_bp_cycles": BACK}
    config = HrmTextConfig(
        vocab_size=8, num_hidden_layers=2, **sizes, **cycles, embedding_scale=1.0, initializer_range=0.7
    )
    model = HrmTextModel(config).double()
    model.z_L_init.data = torch.randn(WIDTH, dtype=torch.float64)
    return model


class Called(nn.Module):
    """A network of the library, called with what the model calls it with."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.settings = network, {}
        network.register_forward_pre_hook(self.listen, with_kwargs=True)

    def listen(self, _: nn.Module, __: Any, settings: dict[str, Any]) -> None:
        self.settings = settings

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, **self.settings)


def ended(refiner: Any, state: TwoLevelState, injection: Tensor) -> Tensor:
    for _ in range(CYCLES):
        state = refiner.cycle(state, injection)
    return state.answer


def hold_to_the_published_networks() -> None:
    """Compare both refiners with the library's model as it is."""
    for seed in range(5):
        model = published(seed)
        latent, answer = Called(model.L_module), Called(model.H_module)
        question = torch.randn(3, 5, WIDTH, dtype=torch.float64)
        start = TwoLevelState(question, model.z_L_init.expand_as(question))
        with torch.no_grad():
            wanted = model(inputs_embeds=question, use_cache=False).last_hidden_state
            two = TwoLevelRefiner(latent, answer, latent_steps=LATENT_STEPS)
            one = QuestionStartRefiner(latent, answer, latent_steps=LATENT_STEPS)
            assert torch.equal(ended(two, start, torch.zeros_like(question)), wanted)
            assert torch.equal(ended(one, start, torch.full_like(question, torch.nan)), wanted)


def main() -> None:
    hold_to_the_published_networks()
    generator = torch.Generator().manual_seed(0)

    def eighths(*shape: int) -> Tensor:
        return torch.randint(-12, 13, shape, generator=generator).double() / 8

    model = published(0)
    kept: dict[str, Any] = {"question": eighths(2, 3, WIDTH), "latent_start": eighths(WIDTH)}
    kept |= {name: [eighths(WIDTH) for _ in range(3)] for name in ("latent", "answer")}
    kept["pull"] = eighths(2, 3, WIDTH)
    question = kept["question"].clone().requires_grad_()
    model.L_module, model.H_module = Squash(*kept["latent"]), Squash(*kept["answer"])
    model.z_L_init.data = kept["latent_start"].clone()
    model.train()
    kept["end"] = model(inputs_embeds=question, use_cache=False).last_hidden_state
    (kept["end"] * kept["pull"]).sum().backward()
    kept["gradients"] = [
        question.grad,
        *(w.grad for part in (model.L_module, model.H_module) for w in part.parameters()),
    ]
    plain = {
        name: [part.tolist() for part in value] if isinstance(value, list) else value.tolist()
        for name, value in kept.items()
    }
    FILE.write_text(
        "".join(["{\n", ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in plain.items()), "\n}\n"])
    )


if __name__ == "__main__":
    main()
