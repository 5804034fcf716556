"""The public HRM-Text model, its recursion and the whole of it, from numbers that were kept.

The scripts that keep them, `make_hrm_text.py` and `make_hrm_text_model.py`, need the library that has it.
Where that is installed, the last tests compare with it directly.
"""

from __future__ import annotations

import json
from pathlib import Path

import golden.make_hrm_text_model as golden
import pytest
import torch
from golden.make_hrm_text import CYCLES, FILE, LATENT_STEPS, Squash, ended
from helpers import seeded
from hrm_text import LastOfEachCycle, logits_and_gradients, named, ours

from recurlight import LastPerLevel, QuestionStartRefiner, Sizes, TwoLevelRefiner, TwoLevelState


@pytest.fixture
def kept():
    parts = json.loads(Path(FILE).read_text())
    return {
        name: [torch.tensor(part, dtype=torch.float64) for part in value]
        if name in ("latent", "answer", "gradients")
        else torch.tensor(value, dtype=torch.float64)
        for name, value in parts.items()
    }


@pytest.mark.parametrize("kind", [TwoLevelRefiner, QuestionStartRefiner])
def test_the_recursion_is_exactly_the_published_one_where_no_question_is_injected(kind, kept):
    refiner = kind(Squash(*kept["latent"]), Squash(*kept["answer"]), latent_steps=LATENT_STEPS)
    start = TwoLevelState(kept["question"], kept["latent_start"].expand_as(kept["question"]))
    assert torch.equal(ended(refiner, start, torch.zeros_like(kept["question"])), kept["end"])


def test_gradients_reach_the_question_as_in_the_published_model(kept):
    refiner = QuestionStartRefiner(
        Squash(*kept["latent"]), Squash(*kept["answer"]), latent_steps=LATENT_STEPS
    )
    question = kept["question"].requires_grad_()
    start = TwoLevelState(question, kept["latent_start"].expand_as(question))
    end = LastOfEachCycle().run(refiner, start, question, CYCLES)
    found = torch.autograd.grad((end.answer * kept["pull"]).sum(), [question, *refiner.parameters()])
    for gradient, wanted in zip(found, kept["gradients"], strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)
        assert gradient.any()


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_the_windows_of_the_paper_are_budgets_of_levels(steps):
    """The authors' rule: of `steps` updates all but one go to the answer, as far as it has so many."""
    answers = min(CYCLES, steps - 1)
    latents = steps - answers
    wanted, latent = [], 0
    for cycle in range(CYCLES):
        for _ in range(LATENT_STEPS):
            wanted.append(latent >= CYCLES * LATENT_STEPS - latents)
            latent += 1
        wanted.append(cycle >= CYCLES - answers)
    schedule = ("latent",) * LATENT_STEPS + ("answer",)
    assert LastPerLevel({"latent": latents, "answer": answers}).mask(schedule, CYCLES) == tuple(wanted)


def test_the_whole_model_says_and_learns_what_the_published_one_does():
    """Fails if embedding, networks, recursion, window or head differ; the numbers are kept to 11 digits."""
    kept = json.loads(golden.FILE.read_text())
    recursion = ours(golden.SIZES, golden.LAYERS, golden.HEADS)
    for name, weight in named(recursion).items():
        weight.data = torch.tensor(kept["weights"][name], dtype=torch.float64) / golden.UNIT
    start, pull = (torch.tensor(kept[name], dtype=torch.float64) for name in ("latent_start", "pull"))
    recursion.refiner.latent_start.vector = start / golden.UNIT
    logits, gradients = logits_and_gradients(recursion, torch.tensor(kept["text"]), pull / golden.UNIT)
    wanted = torch.tensor(kept["logits"], dtype=torch.float64)
    torch.testing.assert_close(logits, wanted, rtol=1e-9, atol=1e-9)
    for name, gradient in gradients.items():
        wanted = torch.tensor(kept["gradients"][name], dtype=torch.float64)
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)
        assert gradient.any()


@pytest.fixture(scope="module")
def library():
    found = pytest.importorskip(
        "transformers", reason="the public model is in transformers, which is missing"
    )
    if not getattr(found, "HrmTextForCausalLM", None):
        pytest.skip("the public model is in transformers from 5.24 on, and an older one is installed")
    return found


@pytest.mark.parametrize(("exact", "close"), [(True, 1e-12), (False, 1e-5)])
@pytest.mark.parametrize("seed", range(3))
def test_the_library_itself_says_and_learns_the_same(seed, exact, close, library):
    """With its norms and rotary tables in float64, and with those rounded to float32, as it has them."""
    sizes, layers, heads, generator = Sizes(vocab=23, tokens=10, width=16), 2, 4, seeded(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5

    model = golden.published(sizes, layers, heads, draw, exact).train()
    text = torch.randint(1, sizes.vocab, (3, sizes.tokens), generator=generator)
    pull = draw(3, sizes.tokens, sizes.vocab)
    wanted = model(input_ids=text, use_cache=False).logits
    (wanted * pull).sum().backward()
    recursion = golden.copied(model, ours(sizes, layers, heads))
    logits, gradients = logits_and_gradients(recursion, text, pull)
    torch.testing.assert_close(logits, wanted, rtol=0, atol=close)
    theirs = dict(model.named_parameters())
    for names, gradient in gradients.items():
        other = torch.cat([theirs[f"{name}.weight"].grad for name in names.split()])
        torch.testing.assert_close(gradient, other, rtol=0, atol=close * other.abs().max().item())


@pytest.mark.parametrize("seed", range(3))
def test_the_library_writes_the_same(seed, library):
    """Its cache, of a slot for every call of attention, against `Memory`."""
    sizes, layers, heads, generator = Sizes(vocab=23, tokens=16, width=16), 2, 4, seeded(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5

    model = golden.published(sizes, layers, heads, draw, exact=False).eval()
    prompt = torch.randint(1, sizes.vocab, (1, 3), generator=generator)
    settings = {
        "max_new_tokens": 12,
        "do_sample": False,
        "use_cache": True,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    wanted = [token for token in model.generate(prompt, **settings)[0, 3:].tolist() if token]
    recursion = golden.copied(model, ours(sizes, layers, heads))
    assert [word.token for word in recursion.generate(prompt[0].tolist(), 12)] == wanted
