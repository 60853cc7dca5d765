"""Models that would open the files which a client names."""

from __future__ import annotations

from typing import Any

from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.unpickling.graph import parts


def check_reads_no_files(estimator: Any) -> None:
    """Refuse a text vectoriser that takes its text from files; raises ModelRefused("card").

    Nothing but the plain word ``content`` passes: scikit-learn compares with ``==``, and an
    array of no dimensions, or any object of another class, may equal a word it is not.
    """
    for part in parts(estimator):
        source = vars(part).get("input")
        if isinstance(part, (CountVectorizer, HashingVectorizer)):
            opens = type(source) is not str or source != "content"
        else:  # code of one's own may follow the same convention
            opens = isinstance(source, str) and source in ("filename", "file")
        if opens:
            raise ModelRefused(
                "card",
                f"{type(part).__name__} opens the files its input names",
                "fit it with input='content'",
            )
