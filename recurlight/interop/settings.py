"""What weights do not tell: read from flags, then `all_config.yaml`, then the published code's defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from recurlight.errors import RecurlightError, suggestion

__all__ = ["COUNTS", "FAMILIES", "SETTINGS", "Resolver", "Setting", "SettingError", "whole"]

FAMILIES = {"trm": ("trm",), "hrm": ("hrm", "hrm_act_v1")}
"""Each family, and the modules in which its published model lives."""

UNREAD = {
    "hrm": ("puzzle_emb_len", "no_ACT_continue"),
    "hrm_act_v1": ("puzzle_emb_len", "no_ACT_continue", "mlp_t"),
}
"""Keys of `arch` that a module's model drops unread, though a configuration may have them for another one."""


class SettingError(RecurlightError, ValueError):
    """A setting of the import is missing or wrong."""


def whole(value: Any) -> int:
    """Return a whole number, also one that is written with a point.

    Raises:
        ValueError: It is none.

    Example:
        >>> whole("3"), whole(3.0)
        (3, 3)
    """
    text = re.sub(r"\.0*$", "", str(value))
    try:
        return int(text)
    except ValueError as error:
        raise ValueError("a whole number") from error


def _number(value: Any) -> float:
    try:
        return float(str(value))
    except ValueError as error:
        raise ValueError("a number") from error


def _one_of(words: Mapping[str, str]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if str(value) not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return words[str(value)]

    return parse


class Setting(NamedTuple):
    """One setting of the import."""

    key: str
    """Its key in the section `arch`, dotted."""
    parse: Callable[[Any], Any]
    example: Any
    least: float
    text: str


SETTINGS = {
    "cycles": Setting("H_cycles", whole, 3, 1, "cycles in a segment"),
    "latent_steps": Setting("L_cycles", whole, 6, 1, "latent updates in a cycle"),
    "heads": Setting("num_heads", whole, 8, 1, "attention heads"),
    "positions": Setting(
        "pos_encodings",
        _one_of({word: word for word in ("rope", "learned", "none")}),
        "rope",
        0,
        "how attention knows positions: rope, learned or none",
    ),
    "rotary_base": Setting("rope_theta", _number, 10000.0, 1, "base of the rotary frequencies"),
    "prefix": Setting("puzzle_emb_len", whole, 16, 0, "task-prefix positions"),
    "max_segments": Setting("halt_max_steps", whole, 16, 1, "segments of evaluation, cap of training"),
    "exploration": Setting("halt_exploration_prob", _number, 0.1, 0, "probability of exploration in halting"),
    "loss": Setting(
        "loss.loss_type",
        _one_of(
            {
                "stablemax_cross_entropy": "StablemaxCrossEntropy",
                "softmax_cross_entropy": "SoftmaxCrossEntropy",
            }
        ),
        "stablemax_cross_entropy",
        0,
        "stablemax_cross_entropy or softmax_cross_entropy",
    ),
    "halting": Setting(
        "no_ACT_continue",
        _one_of(
            {
                "True": "CorrectnessHalting",
                "correctness": "CorrectnessHalting",
                "False": "QLearningHalting",
                "q_learning": "QLearningHalting",
            }
        ),
        "correctness",
        0,
        "correctness (the halt score alone) or q_learning (halt and continue)",
    ),
}
"""Settings by the name of their flag."""

COUNTS = ("seq_len", "num_tasks")
"""Settings that follow from the data and not from the section `arch`."""

KNOWN = {
    *(setting.key.partition(".")[0] for setting in SETTINGS.values()),
    *("name", "hidden_size", "L_layers", "H_layers", "puzzle_emb_ndim", "mlp_t"),
    *("expansion", "rms_norm_eps", "forward_dtype"),
}
"""Keys of `arch` whose meaning is known here."""


class Resolver:
    """Looks settings up and remembers where each value came from.

    Args:
        flags: Settings given by hand, by the name of their flag; None counts as not given.
        config: Content of `all_config.yaml`.
        config_path: Its path.
    """

    def __init__(self, flags: Mapping[str, Any], config: Mapping[str, Any], config_path: str) -> None:
        self.flags = {name: value for name, value in flags.items() if value is not None}
        for name in self.flags:
            if name not in SETTINGS and name not in COUNTS:
                hint = suggestion(name, [*SETTINGS, *COUNTS])
                raise SettingError(
                    f"'{name}' is no setting of an import{hint or ': see recurlight import --help'}"
                )
        self.arch: Mapping[str, Any] = config.get("arch", {})
        self.config_path = config_path
        self.origins: dict[str, tuple[Any, str]] = {}

    def note(self, name: str, value: Any, origin: str) -> Any:
        """Remember where a value came from."""
        self.origins[name] = (value, origin)
        return value

    def known(self, name: str) -> bool:
        """Return whether a flag or the configuration sets this."""
        return name in self.flags or self._configured(name) is not None

    def get(self, name: str, default: Any = None, origin: str = "published default") -> Any:
        """Return a setting: its flag, else the configuration's, else the default."""
        setting = SETTINGS[name]
        if name in self.flags:
            return self.note(name, self._parse(f"--{name}", setting, self.flags[name]), "flag")
        value = self._configured(name)
        if value is not None:
            place = f"{self.config_path}: arch.{setting.key}"
            return self.note(name, self._parse(place, setting, value), "all_config.yaml")
        return self.note(name, default, origin)

    def require(self, names: list[str], path: str) -> None:
        """Insist that flags or the configuration set these.

        Raises:
            SettingError: Listing those that are missing.
        """
        missing = [name for name in names if not self.known(name)]
        if missing:
            flags = " ".join(f"--{name} {SETTINGS[name].example}" for name in missing)
            where = "does not say" if self.arch else "is not beside it to say"
            raise SettingError(
                f"{path}: weights do not tell {', '.join(missing)}, and all_config.yaml {where}: "
                f"name that file with --config, or give the values, such as {flags}"
            )

    def whole_flag(self, name: str) -> int | None:
        """Return a flag that is no setting of the published configuration."""
        if name not in self.flags:
            return None
        return int(self._parse(f"--{name}", Setting("", whole, None, 1, ""), self.flags[name]))

    def _configured(self, name: str) -> Any:
        node: Any = self.arch
        for part in SETTINGS[name].key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return node

    @staticmethod
    def _parse(place: str, setting: Setting, value: Any) -> Any:
        try:
            parsed = setting.parse(value)
        except ValueError as error:
            raise SettingError(f"{place} is '{value}': give {error}") from error
        if not isinstance(parsed, str) and not parsed >= setting.least:  # not a number fails this too
            raise SettingError(f"{place} is {value}: give at least {setting.least:g}")
        return parsed

    def check_family(self, family: str) -> None:
        """Refuse a configuration of another model, or one with parts that are unknown here.

        What this model does not read is not read here either.

        Raises:
            SettingError: It names another model, or has a key that may change the forward pass.
        """
        name = str(self.arch.get("name", ""))
        module = name.partition("@")[0].rpartition(".")[2]
        if name and module not in FAMILIES[family]:
            other = next((f for f, modules in FAMILIES.items() if module in modules), None)
            fix = f"use --from {other}" if other else f"only {' and '.join(FAMILIES)} can be imported"
            raise SettingError(
                f"{self.config_path}: arch.name is {name}, which is no {family.upper()}: {fix}"
            )
        unknown = [key for key in self.arch if key not in KNOWN]
        if unknown:
            raise SettingError(
                f"{self.config_path}: arch.{unknown[0]} is unknown here and may change what is computed: "
                "if it does not, delete it in a copy of that file and name the copy with --config"
            )
        unread = [key for key in UNREAD.get(module or family, ()) if key in self.arch]
        for key in unread:
            self.note(
                f"arch.{key}", self.arch[key], f"without effect, {family.upper()}'s class does not read it"
            )
        self.arch = {key: value for key, value in self.arch.items() if key not in unread}

    def check_facts(self, facts: Mapping[str, Any], path: str) -> None:
        """Refuse a configuration that contradicts the weights.

        Args:
            facts: What the weights say, by key of `arch`.
            path: File of the weights.

        Raises:
            SettingError: With the first key that differs.
        """
        if not _same(self.arch.get("rms_norm_eps", 1e-5), 1e-5):
            raise SettingError(
                f"{self.config_path}: arch.rms_norm_eps is {self.arch['rms_norm_eps']}, and cells here have "
                "1e-5: only models with that value can be imported"
            )
        for key, fact in facts.items():
            said = self.arch.get(key, fact)
            if not _same(said, fact):
                raise SettingError(
                    f"{self.config_path}: arch.{key} is {said}, {path} has {fact}: name the all_config.yaml "
                    "of these weights with --config"
                )


def _same(one: Any, other: Any) -> bool:
    """Compare values of YAML, in which `1e-5` is a string."""
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return bool(one == other)
