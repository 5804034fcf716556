"""A published language model as the frozen one; needs the extra `lm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recurlight.codec.backbone import Backbone
from recurlight.draw.seeding import generators_kept
from recurlight.errors import CheckpointError, IncompatibleComponents
from recurlight.language.files import config_hash, hash_of, library, model_folder, weight_files
from recurlight.language.symbols import token_numbers
from recurlight.spec import settle
from recurlight.spec.given import within

__all__ = ["PretrainedBackbone"]

_CLOSE = 1e-3
"""How far its logits may be from its last hidden states times its head, relative to the largest."""


class PretrainedBackbone(Backbone):
    """A causal language model of the library `transformers`, up to its last hidden states before the head.

    Its weights are read in float32, whatever the file has, and `trainer.precision` computes with fewer bits.
    A folder holds what `save_pretrained` writes, or a GGUF file, for which `pip install gguf accelerate`.
    Code that comes with a model is not run.

    Data count their tokens from 1, and 0 is padding. `symbols` says which of its own tokens each is: a text
    that is one of its tokens, or a number. Texts are looked up once, and a checkpoint keeps the numbers.
    Padding, `""`, becomes the token that ends its texts.

    Args:
        path: A folder, or `OWNER/NAME` on the hub, or `OWNER/NAME@REVISION`, always that revision. A
            checkpoint holds it; a relative folder is looked for in the current one, and then around that
            checkpoint.
        gguf_file: Name of a GGUF file in that folder.
        layers: Its last layers that are trained with the rest, under `backbone.trained`; so the checkpoint
            and the optimizer have them. None for none.
        symbols: Text or number of each of the data's `V` tokens in its own vocabulary, such as
            `list(data.wording().texts)`; None where the data are in its own tokens, each one more than there,
            as `TextData` has them with its `tokenizer.json`.

    Raises:
        CheckpointError: There is no such model, it is damaged, or a library is missing.
        IncompatibleComponents: It is of another kind, or a text is none of its tokens.

    Example:
        >>> PretrainedBackbone("models/smollm2 135m", symbols=["", "a", "b"])
        Traceback (most recent call last):
        recurlight.errors.CheckpointError: models/smollm2 135m: there is no such folder; ...
    """

    def __init__(
        self,
        path: str,
        gguf_file: str | None = None,
        layers: int | None = None,
        symbols: list[str] | list[int] | None = None,
    ) -> None:
        within("PretrainedBackbone", "layers", 1 if layers is None else layers, 1)
        folder = model_folder(path, gguf_file)
        files = weight_files(folder, gguf_file)
        needed = ["transformers"] if gguf_file is None else ["transformers", "gguf", "accelerate"]
        transformers, *_ = map(library, needed)
        numbers = token_numbers(transformers, folder, gguf_file, symbols)
        super().__init__(numbers)
        if symbols is not None:
            settle(self, "symbols", numbers, otherwise=None)
        self.path, self.sha256 = path, hash_of(files)
        with generators_kept():
            network = _loaded(transformers, folder, gguf_file)
        self.config = "" if gguf_file else config_hash(folder)
        self.width = network.get_output_embeddings().weight.shape[1]
        longest = getattr(network.config, "max_position_embeddings", None)
        self.positions = longest if longest and longest > 0 else None  # some write -1 for no longest
        self.hold(network, _last_layers(network, layers))
        _require_plain_head(self)

    def vectors(self, tokens: Tensor) -> Tensor:
        """Look up its own tokens, `(B, n)` int64, in its embeddings, `(B, n, W)`."""
        found: Tensor = self.network.get_input_embeddings()(tokens)
        return found

    def hidden(self, embedded: Tensor) -> Tensor:
        """Run its layers and the norm after them on vectors `(B, n, W)`, to `(B, n, W)`."""
        found: Tensor = self.network.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        return found

    def head(self) -> Tensor:
        """Return the weights of its output embeddings, `(rows, W)`."""
        weight: Tensor = self.network.get_output_embeddings().weight
        return weight

    def identity(self) -> dict[str, str]:
        """Return the path as it was given, and the hashes of the file with the weights and of the config.

        Of weights in several files it is the hash of their hashes, in the order of their names. A GGUF file
        has its config inside.
        """
        return {"path": self.path, "sha256": self.sha256, "config.json": self.config}


def _loaded(transformers: Any, folder: Path, gguf_file: str | None) -> Any:
    """Read a model, all of its weights."""
    try:
        config = transformers.AutoConfig.from_pretrained(folder, gguf_file=gguf_file, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise IncompatibleComponents(_unknown(transformers, folder)) from error
    if type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise IncompatibleComponents(_unknown(transformers, f"{folder} ({config.model_type})"))
    try:
        network, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=gguf_file,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # each format of weights has its own
        raise CheckpointError(
            f"{folder}: its weights cannot be read ({type(error).__name__}); fetch the model again"
        ) from error
    if lacking := sorted({*report["missing_keys"], *report.get("mismatched_keys", ())}, key=str):
        raise CheckpointError(
            f"{folder}: {len(lacking)} of its weights are missing, such as {lacking[0]}; fetch it again"
        )
    return network


def _unknown(transformers: Any, place: Path | str) -> str:
    return (
        f"{place} has no causal language model that transformers {transformers.__version__} knows: name "
        "another, or pip install --upgrade transformers"
    )


def _last_layers(network: Any, count: int | None) -> dict[str, nn.Module]:
    """Return the last layers of a model by their numbers, from 0."""
    if count is None:
        return {}
    whole = network.config.num_hidden_layers
    within("PretrainedBackbone", "layers", count, 1, whole)
    lists = (part for part in network.base_model.modules() if isinstance(part, nn.ModuleList))
    layers = next((part for part in lists if len(part) == whole), None)
    if layers is None:
        raise IncompatibleComponents(
            f"PretrainedBackbone finds no list of layers in {type(network).__name__}: leave layers out"
        )
    return {str(number): layers[number] for number in range(whole - count, whole)}


@torch.no_grad()
def _require_plain_head(backbone: PretrainedBackbone) -> None:
    """Refuse a model whose logits are something else than its hidden states times its head."""
    kind = type(backbone.network).__name__
    if backbone.network.base_model is backbone.network:
        raise IncompatibleComponents(
            f"PretrainedBackbone finds no hidden states in {kind}, which keeps its layers under a name that "
            "transformers does not tell: name another model"
        )
    tokens = torch.arange(min(3, len(backbone.head())))[None]
    logits = backbone.network(input_ids=tokens, use_cache=False).logits
    found = backbone.hidden(backbone.vectors(tokens)) @ backbone.head().T
    if not torch.allclose(found, logits, rtol=0, atol=_CLOSE * float(logits.abs().max())):
        raise IncompatibleComponents(
            f"PretrainedBackbone cannot read out {kind}, whose logits are not its hidden states times its "
            "output embeddings: name a model without a bias, scale or cap of its logits"
        )
