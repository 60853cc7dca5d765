"""A Parquet file as typed columns, made by the confined child alone.

Parquet is read by large libraries in C++, and a table may come from elsewhere: the columns that
the child writes are text, which we read ourselves.
"""

from __future__ import annotations

import io
import os
import tempfile
from typing import TYPE_CHECKING

from secureml.confinement import run as confinement
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.confined_conversion import Confined, opened
from secureml.models.sealing.table_file import PARQUET, TABLE_LIMIT
from secureml.models.sealing.typed_columns import encode, from_pandas

if TYPE_CHECKING:
    from secureml.confinement.launcher import Work

_WORK = f"{__name__}:work"
_FOR_TABLE = 60  # bytes of memory for each byte: Parquet is packed
_REFUSED = b"refused\n"


def is_parquet(content: bytes) -> bool:
    """Tell whether these are the contents of a Parquet file."""
    return content.startswith(PARQUET)


def confined_columns(confined: Confined, name: str, content: bytes) -> bytes:
    """Return the typed columns of a Parquet file, as `typed_columns.encode` writes them.

    Raises ModelRefused, which calls the file by ``name``.
    """
    with opened(content) as table, tempfile.TemporaryFile() as result:
        job = confinement.Job(_WORK, inputs={"table": table})
        confined.run(job, _FOR_TABLE * len(content), result, f"the table {name}")
        result.seek(0)
        found = result.read(TABLE_LIMIT + 1)
    if found.startswith(_REFUSED):
        message, _, fix = found[len(_REFUSED) :].decode("utf-8", "replace").partition("\n")
        raise ModelRefused("card", f"{name}: {message}", fix)
    return found


def work(given: Work) -> None:
    """Read the file and write its columns; called in the child, confined already."""
    assert given.output is not None  # noqa: S101 - it was asked for
    with os.fdopen(given.inputs["table"], "rb") as file:
        content = file.read()
    with os.fdopen(given.output, "wb") as output:
        output.write(columns_of(content))


def columns_of(content: bytes) -> bytes:
    """Return the typed columns of a Parquet file, or the refusal in their place."""
    try:
        return encode(from_pandas(_frame(content)))
    except MemoryError:
        raise  # the limit of the confinement, and told as that
    except ModelRefused as refused:
        return _refusal(refused.message, refused.fix)
    except ImportError:
        return _refusal(
            "a Parquet file is read with pandas and pyarrow, and one of them is not installed",
            "script/extras parquet, or save the table as CSV",
        )
    except Exception as error:  # noqa: BLE001 - whatever these libraries raise, it is no table
        return _refusal(
            f"the table cannot be read ({type(error).__name__}: {error})",
            "write it with DataFrame.to_parquet(file)",
        )


def _frame(content: bytes) -> object:
    import pandas as _  # noqa: F401, PLC0415 - an extra, which `to_pandas` needs
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    # One thread: more may not be started here.
    table = pq.read_table(io.BytesIO(content), use_threads=False, pre_buffer=False)
    return table.to_pandas(use_threads=False)


def _refusal(message: str, fix: str) -> bytes:
    line = " ".join(message.split())
    return _REFUSED + f"{line}\n{fix}".encode()
