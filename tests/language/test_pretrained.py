"""Language models of transformers as the frozen one, and reasoners that stand on them."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import SIZES, batch, causal, loader, trainer
from saved_models import require_equal, trained

pytest.importorskip("transformers", reason="the extra lm is not installed")

from language.published import ROWS, SYMBOLS, gguf, llama, reasoner, tokenizer
from recurlight import (
    CheckpointError,
    CheckpointMismatch,
    EveryUpdate,
    FixedHalting,
    HeadDecoder,
    HiddenEncoder,
    IncompatibleComponents,
    PretrainedBackbone,
    RecursiveModule,
    SingleRefiner,
    TokenEncoder,
    load_recursion,
)
from recurlight.__main__ import main
from recurlight.checkpoints.files import digest
from recurlight.language.files import config_hash


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def copied(path, tmp_path):
    return Path(shutil.copytree(path, tmp_path / "model"))


def test_hidden_states_and_head_are_those_of_the_library(path):
    import transformers

    backbone, tokens = PretrainedBackbone(path, symbols=SYMBOLS).double(), batch().inputs
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path).double()
    wanted = theirs(torch.tensor(SYMBOLS)[tokens], output_hidden_states=True)
    found = backbone.hidden(backbone.embed(tokens))
    torch.testing.assert_close(found, wanted.hidden_states[-1], rtol=0, atol=1e-12)
    logits = found @ backbone.readout().T
    torch.testing.assert_close(logits, wanted.logits[..., SYMBOLS], rtol=0, atol=1e-12)
    assert torch.equal(backbone.readout(), theirs.lm_head.weight[SYMBOLS])
    assert (backbone.width, backbone.positions) == (8, 24)


def test_a_head_of_its_own_is_read(tmp_path):
    backbone = PretrainedBackbone(llama(tmp_path, tie_word_embeddings=False), symbols=SYMBOLS)
    assert torch.equal(backbone.readout(), backbone.network.lm_head.weight[SYMBOLS])
    assert not torch.equal(backbone.readout(), backbone.vectors(torch.tensor(SYMBOLS)))


def test_identity_is_the_hash_of_the_weights_and_of_the_config(path):
    backbone = PretrainedBackbone(path, symbols=SYMBOLS)
    hashes = {"sha256": digest(f"{path}/model.safetensors"), "config.json": config_hash(Path(path))}
    assert backbone.identity() == {"path": path, **hashes}


def test_weights_in_several_files(path, tmp_path):
    import transformers

    whole = transformers.AutoModelForCausalLM.from_pretrained(path)
    whole.save_pretrained(tmp_path, max_shard_size="2KB")
    assert len([*tmp_path.glob("*.safetensors")]) > 1
    one, several = (PretrainedBackbone(str(place), symbols=SYMBOLS) for place in (path, tmp_path))
    assert torch.equal(one.head(), several.head())
    assert one.sha256 != several.sha256
    first = min(tmp_path.glob("*.safetensors"))
    first.unlink()
    with pytest.raises(CheckpointError, match=f"{first.name}: a part of the weights is missing"):
        PretrainedBackbone(str(tmp_path), symbols=SYMBOLS)


def test_a_gguf_file_is_read_with_its_words(tmp_path):
    for name in ("gguf", "accelerate"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    embeddings = torch.from_numpy(gguf(tmp_path / "model.gguf"))
    backbone = PretrainedBackbone(str(tmp_path), "model.gguf", symbols=["", "b", "ab"])
    assert backbone.ids.tolist() == [0, 2, 27]
    assert torch.equal(backbone.readout(), embeddings[[0, 2, 27]])
    assert (backbone.width, backbone.positions) == (32, 24)
    assert backbone.sha256 == digest(tmp_path / "model.gguf")


def fitted(model, tmp_path):
    run = trainer(max_steps=3, callbacks=[])
    run.fit(model, loader([batch(seed=step) for step in range(3)]))
    run.save_checkpoint(tmp_path / "last.ckpt")
    return run, torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]


def test_frozen_weights_are_equal_to_the_bit_after_training(path, tmp_path):
    model = reasoner(path)
    before = [weight.clone() for weight in model.recursion.backbone.network.parameters()]
    run, saved = fitted(model, tmp_path)
    after = [*model.recursion.backbone.network.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    given = {id(weight) for group in run.optimizers[0].param_groups for weight in group["params"]}
    assert not given & {id(weight) for weight in after}
    assert not any("backbone" in name for name in saved)


def test_last_layers_are_trained_and_kept_and_nothing_else_is(path, tmp_path):
    model = reasoner(path, layers=1)
    network = model.recursion.backbone.network
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    run, saved = fitted(model, tmp_path)
    after = dict(network.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    last = {name for name in before if name.startswith("model.layers.2.")}
    assert moved == last
    kept = {name for name in saved if "backbone" in name}
    assert kept == {name.replace("model.layers", "recursion.backbone.trained") for name in last}
    given = {id(weight) for group in run.optimizers[0].param_groups for weight in group["params"]}
    assert {name for name, weight in after.items() if id(weight) in given} == last
    for name in last:
        assert torch.equal(saved[name.replace("model.layers", "recursion.backbone.trained")], after[name])


@pytest.mark.parametrize("layers", [None, 2])
def test_a_checkpoint_is_enough(path, layers, tmp_path):
    model = reasoner(path, layers=layers)
    saved = trained(model, tmp_path / "last.ckpt")
    kept = saved["recurlight"]["backbone"]
    assert kept.pop("symbols")
    assert kept == model.recursion.backbone.identity()
    require_equal(RecursiveModule.load_from_checkpoint(tmp_path / "last.ckpt"), model)
    recursion, evaluation = load_recursion(tmp_path / "last.ckpt")
    asked = batch()
    assert torch.equal(recursion.solve(asked, **evaluation).logits, model.eval()(asked).logits)


def test_trained_layers_move_with_the_optimizers_weights_and_copies_have_their_own(path):
    model = reasoner(path, layers=1).recursion
    held = [*model.backbone.trained.parameters()]
    twin = copy.deepcopy(model)
    model.double()
    assert all(one is other for one, other in zip(held, model.backbone.trained.parameters(), strict=True))
    assert {weight.dtype for weight in model.backbone.network.parameters()} == {torch.float64}
    assert {weight.dtype for weight in twin.backbone.network.parameters()} == {torch.float32}
    again = copy.deepcopy(twin)
    with torch.no_grad():
        next(again.backbone.trained.parameters()).zero_()
    assert not torch.equal(*(next(one.backbone.trained.parameters()) for one in (twin, again)))
    assert again.backbone.network.model.layers[2] is again.backbone.trained["2"]
    assert again.backbone.head().data_ptr() == twin.backbone.head().data_ptr()


def test_a_relative_folder_is_found_from_the_checkpoint(copied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    trained(reasoner("model"), tmp_path / "runs" / "last.ckpt")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert load_recursion(tmp_path / "runs" / "last.ckpt").recursion.backbone.identity()["path"] == "model"


def test_nothing_is_drawn_in_training(tmp_path):
    import transformers

    config = transformers.GPT2Config(vocab_size=ROWS, n_embd=8, n_layer=2, n_head=2, n_positions=20)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)  # its dropout is 0.1
    model = reasoner(str(tmp_path), layers=1).recursion.train()
    vectors = model.backbone.embed(batch().inputs)
    assert torch.equal(model.backbone.hidden(vectors), model.backbone.hidden(vectors))


def test_another_file_is_refused(copied, tmp_path):
    trained(reasoner(str(copied)), tmp_path / "last.ckpt")
    llama(copied, seed=1)
    with pytest.raises(CheckpointMismatch, match=f"stands on the backbone {copied} .*: put back the file"):
        load_recursion(tmp_path / "last.ckpt")


def configured(folder, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


OTHERWISE = {
    "a base of rotary positions": {"rope_parameters": {"rope_theta": 100.0, "rope_type": "default"}},
    "a layer less, whose weights stay in the file": {"num_hidden_layers": 2},
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_another_model_of_the_same_weights_is_refused(name, copied, tmp_path):
    """Fails if the weights alone say which model it is."""
    saved = trained(reasoner(str(copied)), tmp_path / "last.ckpt")
    configured(copied, **OTHERWISE[name])
    message = rf"stands on the backbone {copied} .* with other config.json than this model: put back the"
    with pytest.raises(CheckpointMismatch, match=message):
        load_recursion(tmp_path / "last.ckpt")
    for key in ("config.json", "symbols"):  # as older checkpoints have none, which told nothing
        saved["recurlight"]["backbone"].pop(key)
    torch.save(saved, tmp_path / "older.ckpt")
    load_recursion(tmp_path / "older.ckpt")


def test_a_config_that_another_version_wrote_is_the_same(copied, tmp_path):
    trained(reasoner(str(copied)), tmp_path / "last.ckpt")
    configured(copied, transformers_version="4.30.0", torch_dtype="bfloat16", use_cache=False)
    load_recursion(tmp_path / "last.ckpt")


def test_going_on_with_other_symbols_is_refused(path, tmp_path):
    """Fails if the file alone says which model it is: the weights would fit."""
    trained(reasoner(path), tmp_path / "last.ckpt")
    other = reasoner(path, backbone=PretrainedBackbone(path, symbols=SYMBOLS[::-1]))
    with pytest.raises(CheckpointMismatch, match=r"the backbone .* with other symbols than this model"):
        trainer(max_steps=2).fit(other, loader([batch()] * 2), ckpt_path=tmp_path / "last.ckpt")


def test_going_on_with_other_layers_names_the_setting(path, tmp_path):
    """Fails if weights are all that is named."""
    trained(reasoner(path, layers=1), tmp_path / "last.ckpt")
    with pytest.raises(CheckpointMismatch, match=r"model\.backbone\.layers is 1 there and 2 here"):
        trainer(max_steps=2).fit(
            reasoner(path, layers=2), loader([batch()] * 2), ckpt_path=tmp_path / "last.ckpt"
        )


def test_a_tokenizer_that_ends_texts_otherwise_is_refused(copied, tmp_path):
    """Without symbols the padding is what ends its texts: fails if only the files of the model count."""
    tokenizer(str(copied))
    sizes = {"vocab_size": 30, "seq_len": SIZES.tokens}
    parts = {"encoder": HiddenEncoder(), "decoder": HeadDecoder(), "width": 8, "cycles": 1}
    refiner = SingleRefiner(causal()), EveryUpdate(), FixedHalting()
    model = RecursiveModule(*sizes.values(), *refiner, backbone=PretrainedBackbone(str(copied)), **parts)
    trained(model, tmp_path / "last.ckpt")
    settings = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "?"}))
    with pytest.raises(CheckpointMismatch, match="with other symbols than this model"):
        load_recursion(tmp_path / "last.ckpt")


RUN = """
model:
  width: 16
  backbone: {class_path: PretrainedBackbone, init_args: {path: model, layers: 1, symbols: SYMBOLS}}
  encoder: HiddenEncoder
  decoder: HeadDecoder
  refiner:
    class_path: SingleRefiner
    init_args: {cell: {class_path: CausalTransformerCell, init_args: {layers: 1, heads: 2}}}
  truncation: EveryUpdate
  halting: FixedHalting
  max_segments: 1
data: {class_path: ParityData, init_args: {length: 4, num_train: 8, num_val: 2, num_test: 2, batch_size: 2}}
trainer: {max_steps: 1, accelerator: cpu, enable_progress_bar: false, num_sanity_val_steps: 0}
"""


@pytest.mark.parametrize("symbols", ["['', a, b]", "[0, 3, 4]"])
def test_the_command_line_goes_on_with_numbers_of_tokens(symbols, copied, tmp_path, monkeypatch, capsys):
    """Fails if a list of either of two kinds is checked for the first alone."""
    monkeypatch.chdir(tmp_path)
    tokenizer(str(copied))
    Path("run.yaml").write_text(RUN.replace("SYMBOLS", symbols))
    assert main(["fit", "--config", "run.yaml"]) == 0, capsys.readouterr().err
    last = next(tmp_path.rglob("last.ckpt"))
    assert main(["test", "--ckpt_path", str(last)]) == 0, capsys.readouterr().err
    assert RecursiveModule.load_from_checkpoint(last).recursion.backbone.ids.tolist() == [0, 3, 4]


def test_texts_are_looked_up_once_and_the_numbers_kept(copied, tmp_path):
    tokenizer(str(copied))
    backbone = PretrainedBackbone(str(copied), symbols=["", "a", "c", "b", "z", " "])
    assert backbone.ids.tolist() == [0, 3, 5, 4, 28, 2]
    trained(reasoner(str(copied), backbone=backbone), tmp_path / "last.ckpt")
    (copied / "tokenizer.json").unlink()
    assert load_recursion(tmp_path / "last.ckpt").recursion.backbone.ids.tolist() == [0, 3, 5, 4, 28, 2]


def test_without_symbols_data_count_its_tokens_from_one(copied):
    tokenizer(str(copied))
    assert PretrainedBackbone(str(copied)).ids.tolist() == [0, *range(29)]


def test_making_one_draws_nothing(path):
    before = torch.get_rng_state()
    PretrainedBackbone(path, symbols=SYMBOLS)
    assert torch.equal(torch.get_rng_state(), before)


def other_type(folder, name):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": name}))


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def drop(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


SPOILT = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights: name a folder"),
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        "model has no causal language model that transformers",
    ),
    "unknown type": (
        lambda folder: other_type(folder, "gru"),
        "model has no causal language model that transformers",
    ),
    "no language": (
        lambda folder: other_type(folder, "vit"),
        r"model \(vit\) has no causal language model",
    ),
    "cut off": (cut, "its weights cannot be read .*; fetch the model again"),
    "incomplete": (drop, "1 of its weights are missing, such as model.norm.weight; fetch it again"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_folders_are_refused_in_one_line(name, copied):
    spoil, message = SPOILT[name]
    spoil(copied)
    with pytest.raises((CheckpointError, IncompatibleComponents), match=message) as caught:
        PretrainedBackbone(str(copied), symbols=SYMBOLS)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_symbols_that_are_no_tokens_are_refused(copied):
    tokenizer(str(copied))
    cases = {
        ("", "a", "ab"): "has 2 tokens for 'ab', not one: let model.backbone.symbols be texts",
        ("", "a", "\u00e4"): "has no token for '\u00e4', not one",
        ("", "a", "a"): "has one token for 'a' and 'a': give each of the data's tokens another text",
    }
    for symbols, message in cases.items():
        with pytest.raises(IncompatibleComponents, match=message):
            PretrainedBackbone(str(copied), symbols=list(symbols))


def test_a_tokenizer_that_is_missing_is_named(path):
    with pytest.raises(CheckpointError, match=r"there is no tokenizer that can be read .*; set model"):
        PretrainedBackbone(path, symbols=["", "a"])


def test_numbers_of_another_vocabulary_are_refused(path):
    with pytest.raises(
        IncompatibleComponents, match=f"knows {ROWS} tokens: give symbols from 0 to {ROWS - 1}"
    ):
        reasoner(path, backbone=PretrainedBackbone(path, symbols=[0, 1, 2, 3, 4, ROWS]))
    with pytest.raises(IncompatibleComponents, match=f"reads out 7 tokens and the data have {SIZES.vocab}"):
        reasoner(path, backbone=PretrainedBackbone(path, symbols=list(range(7))))


def test_layers_that_it_has_not_are_refused(path):
    with pytest.raises(IncompatibleComponents, match="layers=4: give 1 or more and at most 3"):
        PretrainedBackbone(path, layers=4, symbols=SYMBOLS)


def test_a_head_with_a_scale_is_refused(tmp_path):
    import transformers

    sizes = {"vocab_size": ROWS, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    config = transformers.CohereConfig(**sizes, num_attention_heads=2, logit_scale=0.25)
    transformers.CohereForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(IncompatibleComponents, match="cannot read out CohereForCausalLM, whose logits are"):
        PretrainedBackbone(str(tmp_path), symbols=SYMBOLS)


def test_another_family_is_read(tmp_path):
    """Its layers have another name, and its positions are learnt."""
    import transformers

    config = transformers.GPT2Config(vocab_size=ROWS, n_embd=8, n_layer=2, n_head=2, n_positions=20)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    backbone = PretrainedBackbone(str(tmp_path), layers=1, symbols=SYMBOLS)
    assert (backbone.positions, [*backbone.trained]) == (20, ["1"])
    tokens = torch.arange(6)[None]
    wanted = backbone.network.eval()(torch.tensor(SYMBOLS)[tokens]).logits[..., SYMBOLS]
    torch.testing.assert_close(backbone.hidden(backbone.embed(tokens)) @ backbone.readout().T, wanted)


def test_layers_that_nothing_trains_are_refused(path):
    """Fails if they stay as they are in silence: the head alone asks nothing of them."""
    encoder = {"encoder": TokenEncoder(learned_positions=True)}
    reasoner(path, **encoder)
    message = (
        "PretrainedBackbone has layers that are trained, and HeadDecoder does not run them: set model.enc"
    )
    with pytest.raises(IncompatibleComponents, match=message):
        reasoner(path, layers=1, **encoder)


def test_models_of_another_build_are_refused_in_one_line(tmp_path):
    """Fails if a word of torch's or of the library's is all that is said, or of fewer tokens than none."""
    import transformers

    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    sizes = {"vocab_size": ROWS, "hidden_size": 8, "intermediate_size": 16, "max_position_embeddings": 24}
    inside = transformers.Llama4ForCausalLM(transformers.Llama4TextConfig(**sizes, **heads))
    inside.save_pretrained(tmp_path / "inside")
    with pytest.raises(IncompatibleComponents, match="finds no hidden states in Llama4ForCausalLM"):
        reasoner(str(tmp_path / "inside"))
    config = transformers.XLNetConfig(vocab_size=ROWS, d_model=8, n_layer=1, n_head=2, d_inner=16)
    transformers.XLNetLMHeadModel(config).save_pretrained(tmp_path / "both ways")
    with pytest.raises(IncompatibleComponents, match="PretrainedBackbone is no causal model"):
        reasoner(str(tmp_path / "both ways"))
