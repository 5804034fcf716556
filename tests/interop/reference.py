"""The published models in plain functions over the raw state dict: nothing of recurlight is used here.

Written from the description of the published code: post-norm blocks, fused projections, fixed start vectors,
a task prefix, one segment at a time, and the loss of one training step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

ROOT = "model.inner."

NAMES = {
    "trm": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
    "hrm": "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1",
}


class Shape(NamedTuple):
    """A published architecture in the size of a test."""

    family: str
    mixer: bool
    cycles: int
    latent_steps: int
    layers: int
    heads: int = 2
    width: int = 64
    tokens: int = 9
    vocab: int = 7
    tasks: int = 3
    prefix: int = 16
    task_width: int = 64
    positions: str = "rope"
    segments: int = 16
    name: str = ""
    """Module and class in `all_config.yaml`, where not those of the family's own repository."""

    @property
    def length(self):
        return self.prefix + self.tokens

    def config(self):
        """What `all_config.yaml` says of it."""
        arch = {
            "H_cycles": self.cycles,
            "L_cycles": self.latent_steps,
            "H_layers": self.layers if self.family == "hrm" else 0,
            "L_layers": self.layers,
            "hidden_size": self.width,
            "num_heads": self.heads,
            "expansion": 4,
            "puzzle_emb_ndim": self.task_width if self.tasks else 0,
            "pos_encodings": self.positions,
            "halt_max_steps": self.segments,
            "halt_exploration_prob": 0.1,
            "forward_dtype": "bfloat16",
            "loss": {"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"},
        }
        arch |= {"name": self.name or NAMES[self.family]}
        if "recursive_reasoning" in arch["name"]:
            arch |= {"mlp_t": self.mixer, "puzzle_emb_len": 16, "no_ACT_continue": True}
        rates = {"lr": 1e-4, "beta1": 0.9, "beta2": 0.95, "weight_decay": 1.0, "lr_warmup_steps": 2000}
        return {"arch": arch, "global_batch_size": 768, "epochs": 50000, "lr_min_ratio": 1.0, **rates}


TRM_ATTENTION = Shape("trm", mixer=False, cycles=3, latent_steps=4, layers=2)
TRM_MIXER = Shape("trm", mixer=True, cycles=3, latent_steps=6, layers=2, positions="none")
HRM = Shape("hrm", mixer=False, cycles=2, latent_steps=2, layers=4, prefix=1)
TRMS_HRM = HRM._replace(layers=2, name="recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1")
"""HRM's class in TRM's repository, with the settings of `arch=trm`, two of which it does not read."""


def inner_width(width):
    """The published rule: two thirds of four times the width, up to a multiple of 256."""
    return math.ceil(round(4 * width * 2 / 3) / 256) * 256


def random_weights(shape, seed=0):
    """Draw weights in the published key layout; halting scores and tasks are alive, unlike at the start.

    Eight tenths of the initial scale: a segment still changes the state by its own size, but the mixer
    amplifies the rounding of float32 in it tenfold and not two-hundredfold, so that bounds can be tight.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*size, std):
        return torch.randn(*size, generator=generator) * std

    def linear(out, fan_in):
        return normal(out, fan_in, std=0.8 * fan_in**-0.5)

    d, inner = shape.width, inner_width(shape.width)
    weights = {
        "H_init": normal(d, std=1.0),
        "L_init": normal(d, std=1.0),
        "embed_tokens.embedding_weight": normal(shape.vocab, d, std=d**-0.5),
        "lm_head.weight": linear(shape.vocab, d),
        "q_head.weight": linear(2, d),
        "q_head.bias": normal(2, std=0.3),
    }
    if shape.tasks:
        weights["puzzle_emb.weights"] = normal(shape.tasks, shape.task_width, std=d**-0.5)
    if shape.positions == "learned":
        weights["embed_pos.embedding_weight"] = normal(shape.length, d, std=d**-0.5)
    for level in ("H_level", "L_level") if shape.family == "hrm" else ("L_level",):
        for index in range(shape.layers):
            block = f"{level}.layers.{index}."
            if shape.mixer:
                long = inner_width(shape.length)
                weights[f"{block}mlp_t.gate_up_proj.weight"] = linear(2 * long, shape.length)
                weights[f"{block}mlp_t.down_proj.weight"] = linear(shape.length, long)
            else:
                weights[f"{block}self_attn.qkv_proj.weight"] = linear(3 * d, d)
                weights[f"{block}self_attn.o_proj.weight"] = linear(d, d)
            weights[f"{block}mlp.gate_up_proj.weight"] = linear(2 * inner, d)
            weights[f"{block}mlp.down_proj.weight"] = linear(d, inner)
    return {ROOT + key: weight for key, weight in weights.items()}


def rms(x):
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-5)


def swiglu(x, gate_up, down):
    projected = x @ gate_up.T
    half = gate_up.shape[0] // 2
    gate, up = projected[..., :half], projected[..., half:]
    return (gate / (1 + torch.exp(-gate)) * up) @ down.T


def rotated(x):
    """Rotate `(B, N, heads, head)` by its position, first half of the channels against the second."""
    count, size = x.shape[1], x.shape[-1]
    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=x.dtype) / size)
    angle = torch.arange(count, dtype=x.dtype)[:, None] * frequency  # (N, head / 2)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    one, two = x[..., : size // 2], x[..., size // 2 :]
    return torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1)


def attention(x, qkv, out, heads, rope):
    rows, count, width = x.shape
    parts = (x @ qkv.T).view(rows, count, 3, heads, width // heads).unbind(dim=2)
    q, k, v = (rotated(parts[0]), rotated(parts[1]), parts[2]) if rope else parts
    scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(width // heads)
    mixed = torch.einsum("bhnm,bmhd->bnhd", torch.softmax(scores, dim=-1), v)
    return mixed.reshape(rows, count, width) @ out.T


def cell(w, level, x, shape):
    for index in range(shape.layers):
        block = f"{ROOT}{level}.layers.{index}."
        if shape.mixer:
            across = x.transpose(1, 2)  # (B, D, N)
            mixed = swiglu(
                across, w[f"{block}mlp_t.gate_up_proj.weight"], w[f"{block}mlp_t.down_proj.weight"]
            )
            x = rms(across + mixed).transpose(1, 2)
        else:
            qkv, out = w[f"{block}self_attn.qkv_proj.weight"], w[f"{block}self_attn.o_proj.weight"]
            x = rms(x + attention(x, qkv, out, shape.heads, shape.positions == "rope"))
        x = rms(x + swiglu(x, w[f"{block}mlp.gate_up_proj.weight"], w[f"{block}mlp.down_proj.weight"]))
    return x


def embed(w, shape, inputs, task):
    """Question to injection: tokens behind the task's vector, which is padded with zeros to P positions."""
    tokens = w[ROOT + "embed_tokens.embedding_weight"][inputs]
    if shape.tasks:
        vector = w[ROOT + "puzzle_emb.weights"][task]
        room = shape.prefix * shape.width - vector.shape[1]
        padded = torch.cat([vector, vector.new_zeros(len(task), room)], dim=1)
        tokens = torch.cat([padded.view(len(task), shape.prefix, shape.width), tokens], dim=1)
    if shape.positions == "learned":
        tokens = (tokens + w[ROOT + "embed_pos.embedding_weight"]) / math.sqrt(2)
    return math.sqrt(shape.width) * tokens


def start(w, shape, rows):
    """Fixed start vectors of answer and latent, the same at every position."""
    size = (rows, shape.length, shape.width)
    return w[ROOT + "H_init"].expand(size), w[ROOT + "L_init"].expand(size)


class Result(NamedTuple):
    answer: torch.Tensor
    latent: torch.Tensor
    logits: torch.Tensor
    halt: torch.Tensor
    go_on: torch.Tensor


def segment(w, shape, inputs, task, answer, latent):
    """Run one segment; TRM differentiates its last cycle, HRM its last update of either level."""
    question = embed(w, shape, inputs, task)
    answers = "H_level" if shape.family == "hrm" else "L_level"
    outer = torch.is_grad_enabled()
    for cycle in range(shape.cycles):
        last = cycle == shape.cycles - 1
        for step in range(shape.latent_steps):
            ending = last and (shape.family == "trm" or step == shape.latent_steps - 1)
            with torch.set_grad_enabled(outer and ending):
                latent = cell(w, "L_level", latent + (answer + question), shape)
        with torch.set_grad_enabled(outer and last):
            answer = cell(w, answers, answer + latent, shape)
    logits = answer[:, shape.prefix :] @ w[ROOT + "lm_head.weight"].T
    scores = answer[:, 0] @ w[ROOT + "q_head.weight"].T + w[ROOT + "q_head.bias"]
    return Result(answer.detach(), latent.detach(), logits, scores[:, 0], scores[:, 1])


def stablemax_cross_entropy(logits, labels):
    """Mean over the supervised tokens of each sample."""
    score = torch.where(logits >= 0, logits + 1, 1 / (1 - logits))
    p = score / score.sum(dim=-1, keepdim=True)
    supervised = labels != -100
    chosen = p.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return (-chosen.log() * supervised).sum(dim=1) / supervised.sum(dim=1)


class Step(NamedTuple):
    loss: torch.Tensor
    result: Result
    wants_to_halt: torch.Tensor


def training_step(w, shape, batch, answer, latent, age, halted):
    """Return the loss of one training step, before any optimizer, and which slots want a new sample.

    `batch` holds the samples in the slots, fresh ones where `halted`; `age` counts segments before this one.
    """
    inputs, labels, task = batch
    fresh = start(w, shape, len(inputs))
    answer = torch.where(halted[:, None, None], fresh[0], answer)
    latent = torch.where(halted[:, None, None], fresh[1], latent)
    result = segment(w, shape, inputs, task, answer, latent)
    right = ((result.logits.argmax(dim=-1) == labels) | (labels == -100)).all(dim=1).to(result.halt.dtype)
    last = torch.where(halted, 1, age + 1) >= shape.segments
    halting = F.binary_cross_entropy_with_logits(result.halt, right, reduction="none")
    if shape.family == "hrm" and shape.segments > 1:
        with torch.no_grad():
            after = segment(w, shape, inputs, task, result.answer, result.latent)
            target = torch.where(last, after.halt, torch.maximum(after.halt, after.go_on)).sigmoid()
        halting = halting + F.binary_cross_entropy_with_logits(result.go_on, target, reduction="none")
        wants = result.halt > result.go_on
    else:
        wants = result.halt > 0
    per_slot = stablemax_cross_entropy(result.logits, labels) + 0.5 * halting
    return Step(per_slot.sum() / len(inputs), result, wants | last)
