"""Model files of other libraries, told by how they begin, each with what can be sealed instead."""

from __future__ import annotations

from typing import NamedTuple

from secureml.models.artifact.version_files import ModelRefused


class _Kind(NamedTuple):
    """How a kind of file begins, what it is, and what to do."""

    beginnings: tuple[bytes, ...]
    what: str
    fix: str


_WRAPPER = (
    "seal the estimator that holds it: joblib.dump(model, file) of the {0} itself, in place of "
    "model.save_model(file)"
)
_TRAINED = "export it to ONNX, where its rows are a table, and seal that"
_KINDS = (
    _Kind((b"\x89HDF\r\n",), "an HDF5 file, as Keras writes", _TRAINED),
    _Kind((b"GGUF",), "a language model in the GGUF format", "seal a model of a table"),
    _Kind(
        (b"tree\nversion=", b"tree\r\nversion="),
        "LightGBM's own text",
        _WRAPPER.format("LGBMClassifier or LGBMRegressor"),
    ),
    _Kind(
        (b"CBM1",),
        "CatBoost's own file",
        _WRAPPER.format("CatBoostClassifier or CatBoostRegressor"),
    ),
    _Kind(
        (b"{L\0\0\0\0\0\0\0\x07learner", b'{"learner"', b"binf"),
        "XGBoost's own file",
        _WRAPPER.format("XGBClassifier or XGBRegressor"),
    ),
    _Kind(
        (b"<?xml", b"<PMML"),
        "XML, as PMML is",
        "seal the scikit-learn estimator that the PMML was made of",
    ),
    _Kind(
        (b"(", b"}q", b"]q", b")q", b"ccopy_reg\n", b"csklearn.", b"cnumpy", b"c__main__\n"),
        "a pickle of protocol 0 or 1, as of Python 2",
        "write it with pickle.dump(estimator, file, protocol=4), or with joblib.dump",
    ),
    _Kind((b"{", b"["), "JSON", "give the file that joblib.dump(estimator, file) writes"),
)
_LOOKED_AT = 256


def check_kind(content: bytes) -> None:
    """Refuse a file that no reader here reads, where its beginning says what it is."""
    beginning = content[:_LOOKED_AT].lstrip()
    for kind in _KINDS:
        if beginning.startswith(kind.beginnings):
            raise ModelRefused("format", f"the file is {kind.what}", kind.fix)
