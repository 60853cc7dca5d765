"""What cannot be written as data, and what is no form of a model: each with its place."""

from __future__ import annotations

from secureml.models.artifact.version_files import ModelRefused


class NotDescribable(ModelRefused):
    """A fitted estimator holds something that no data describes.

    ``path`` is where, such as ``steps[1][1].estimators_[3].loss_`` ("the model" for the whole),
    ``what`` is what stands there, ``way_out`` what the maker of the model can do.
    """

    def __init__(self, path: str, what: str, way_out: str) -> None:
        super().__init__("globals", f"{path} holds {what}", way_out)
        self.path, self.what, self.way_out = path, what, way_out


class FormRefused(ModelRefused):
    """A data form is damaged, or says what no writer of forms says; nothing of it is used.

    ``place`` is a part of the file ("the header", "block 7") or of the model ("tree_.nodes").
    """

    def __init__(self, place: str, reason: str, *, check: str = "format") -> None:
        super().__init__(
            check,
            f"the data form of the model is refused at {place}: {reason}",
            "seal the model again; if you did not change the file yourself, do not use it",
        )
        self.place, self.reason = place, reason
