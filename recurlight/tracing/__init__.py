"""A trained model seen thinking: one solve as plain data, as a page that plays it, and as pictures."""

from recurlight.tracing.page import page
from recurlight.tracing.pictures import film, filmstrip
from recurlight.tracing.recording import replay
from recurlight.tracing.records import Judgement, Look, Reading, Replay, Update

__all__ = ["Judgement", "Look", "Reading", "Replay", "Update", "film", "filmstrip", "page", "replay"]
