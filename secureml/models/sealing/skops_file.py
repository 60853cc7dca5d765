"""A file of skops: a zip of JSON and arrays, read without pickle; in the confined child.

skops looks at the types that a file names, and builds the objects. What they hold is checked by
our own data form before anything of them is asked: see docs/model-form.md.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.data_form import reader, writer
from secureml.models.unpickling.decompression import RATIO, SMALL, UNPACKED_LIMIT
from secureml.models.unpickling.requested_names import Requested
from secureml.models.unpickling.single_thread import use_one_thread

ZIP = b"PK\x03\x04"
_SCHEMA = "schema.json"
_MOST_MEMBERS = 1_000_000
_WRITE_AGAIN = "write it again with skops.io.dump(estimator, file), or with joblib.dump"
# Other zip archives, by a member that each has.
_OTHERS = (
    ("data.pkl", "a model of PyTorch", "export it to ONNX and seal that"),
    ("config.json", "a model of Keras", "export it to ONNX and seal that"),
    (".npy", "an archive of NumPy arrays", "seal the fitted estimator"),
)


def load_skops(content: bytes, check: Callable[[Requested], frozenset[str]]) -> Any:
    """Return the estimator in a file of skops.

    ``check`` refuses names that are not allowed, and returns those that are. Raises ModelRefused.
    """
    _check_archive(content)
    try:
        from skops import io as skops  # noqa: PLC0415 - an extra, and needed by such files alone
    except ImportError:
        raise ModelRefused(
            "format",
            "the file is one of skops, which is not installed here",
            "script/extras skops, or write the model with joblib.dump",
        ) from None
    try:
        # Names alone: nothing is imported before they are known to be allowed.
        unknown = skops.get_untrusted_types(data=content)
        allowed = check(Requested(tuple(unknown), frozenset(), ""))
        estimator = skops.loads(content, trusted=unknown)
    except (ModelRefused, MemoryError):
        raise
    except Exception as error:  # a hostile file may have it raise anything
        raise ModelRefused(
            "format", f"skops cannot read the file ({type(error).__name__}: {error})", _WRITE_AGAIN
        ) from error
    _check_graph(estimator, allowed)
    use_one_thread(estimator)
    return estimator


def _check_archive(content: bytes) -> None:
    """Refuse an archive that is no file of skops, or is larger than it may be, unread."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ModelRefused(
            "format", f"the zip archive is damaged ({error})", _WRITE_AGAIN
        ) from None
    names = [member.filename for member in members]
    if _SCHEMA not in names:
        raise _other(names)
    limit = min(UNPACKED_LIMIT, max(SMALL, RATIO * len(content)))
    if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > limit:
        raise ModelRefused(
            "format",
            f"the file of skops unpacks to more than {limit} bytes",
            "check where the file comes from; if you made it yourself, write it with joblib.dump",
        )


def _other(names: list[str]) -> ModelRefused:
    for member, what, fix in _OTHERS:
        if any(name.endswith(member) for name in names):
            return ModelRefused("format", f"the file is {what}", fix)
    return ModelRefused("format", "the file is a zip archive, and none of skops", _WRITE_AGAIN)


def _check_graph(estimator: Any, allowed: frozenset[str]) -> None:
    """Refuse objects that our own data form refuses, before anything of them is asked."""
    file = io.BytesIO()
    names = writer.write(estimator, file, allowed=allowed)
    reader.read(file.getvalue(), allowed=names)
