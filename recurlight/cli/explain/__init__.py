"""Errors of configurations in one line: what is wrong, where, what to type instead."""
