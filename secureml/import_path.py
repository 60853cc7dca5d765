"""Where commands and servers import from: never the folder they happen to be started in.

``python -m`` puts the working directory first, and an empty entry of PYTHONPATH means it too.
A user who can write a file there, for instance into a folder with downloads, would choose what
runs. Only the checkout itself, Python's own folders and those that PYTHONPATH names are kept.

This file needs nothing but Python: it is run by its path before anything else is imported.
"""

import os
import site
import sys
from pathlib import Path


def leave_working_directory() -> None:
    """Take the working directory from ``sys.path``, unless it is ours or was named.

    Python programs that this one starts leave it, too: a library may start some, as joblib does.
    """
    here = Path.cwd().resolve()
    named = [name for name in os.environ.get("PYTHONPATH", "").split(os.pathsep) if name]
    os.environ["PYTHONSAFEPATH"] = "1"
    if named:
        os.environ["PYTHONPATH"] = os.pathsep.join(named)
    else:
        os.environ.pop("PYTHONPATH", None)
    checkout, python = str(Path(__file__).parents[1]), str(Path(os.__file__).parent)
    ours = [checkout, python, *site.getsitepackages(), *named]
    if here not in {Path(folder).resolve() for folder in ours}:
        sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
