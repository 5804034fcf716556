"""What an import refuses."""

from __future__ import annotations

from recurlight.errors import RecurlightError

__all__ = ["PublishedError"]


class PublishedError(RecurlightError, ValueError):
    """A published file cannot be imported; the message names the file, the reason and the fix."""
