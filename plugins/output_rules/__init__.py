"""Output rules: an answer is no finer than its caller may see."""

from .plugin import OutputRules as plugin

__all__ = ["plugin"]
