"""A replay as one page that plays it: no network, nothing beside the file."""

from __future__ import annotations

import html
import json
from importlib import resources

from recurlight.spec.given import checked
from recurlight.tracing.records import Replay

__all__ = ["page"]


@checked
def page(replay: Replay) -> str:
    """Return the page, HTML with its style, its script and the replay as JSON in it.

    Args:
        replay: What to show.
    """
    folder = resources.files("recurlight.tracing")
    parts = {name: folder.joinpath(f"page.{name}").read_text("utf-8") for name in ("html", "css", "js")}
    data = json.dumps(replay.plain(), separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c")  # no text of the data may end the script
    text = parts["html"].replace("{{title}}", html.escape(replay.title or "Replay"))
    for name, content in (("style", parts["css"]), ("script", parts["js"]), ("data", data)):
        text = text.replace(f"/*{{{{{name}}}}}*/", content)
    return text
