"""Brute force: slows down whoever guesses credentials, more each time, and nobody else."""

from .plugin import BruteForce as plugin

__all__ = ["plugin"]
