"""Brute force: whoever guesses credentials waits, longer each time; nobody else does."""

from .plugin import BruteForce as plugin

__all__ = ["plugin"]
