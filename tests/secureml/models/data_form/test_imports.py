"""Neither the data form nor anything of SecureML that it imports asks for pickle's machinery."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

BANNED = {"pickle", "_pickle", "joblib", "copyreg", "cloudpickle", "dill"}
_LIST = """
import sys
import secureml.models.data_form.reader, secureml.models.data_form.writer
print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("secureml.") and m.__file__))
"""


def imported_at_the_top(path):
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_nothing_of_pickle_is_imported():
    done = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True, check=True)
    paths = [Path(name) for name in done.stdout.split()]

    assert len(paths) > 20
    assert {path.name for path in paths if BANNED & {*imported_at_the_top(path)}} == set()
