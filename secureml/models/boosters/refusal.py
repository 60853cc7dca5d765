"""The refusal of a booster whose numbers its own library would follow out of its memory."""

from __future__ import annotations

from secureml.models.artifact.version_files import ModelRefused

MOST_TREES = 1_000_000
MOST_COLUMNS = 1_000_000


def refuse(library: str, what: str) -> ModelRefused:
    """Return the refusal of what no version of the library writes."""
    return ModelRefused(
        "format",
        f"the {library} model {what}",
        "train and write the model again; if you did not make the file yourself, do not use it",
    )


def not_served(library: str, what: str, fix: str) -> ModelRefused:
    """Return the refusal of an honest booster of a kind that is not checked, and so not served."""
    return ModelRefused("card", f"the {library} model {what}", fix)
