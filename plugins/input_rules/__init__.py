"""Input rules: a question the model was not trained for is not asked."""

from .plugin import InputRules as plugin

__all__ = ["plugin"]
