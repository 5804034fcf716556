"""Reasoners that stand on a frozen language model."""

from recurlight.codec.backbone import Backbone, UsesBackbone
from recurlight.language.head import HeadDecoder
from recurlight.language.hidden import HiddenEncoder
from recurlight.language.pretrained import PretrainedBackbone
from recurlight.language.soft import SoftTokenDecoder, SoftTokenEncoder
from recurlight.language.trained import TrainedBackbone

__all__ = [
    "Backbone",
    "HeadDecoder",
    "HiddenEncoder",
    "PretrainedBackbone",
    "SoftTokenDecoder",
    "SoftTokenEncoder",
    "TrainedBackbone",
    "UsesBackbone",
]
