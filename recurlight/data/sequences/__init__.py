"""Sequences that a rule makes: no pattern shortens them, their answer takes steps of work."""
