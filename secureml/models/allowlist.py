"""The exact names a model file may ask for, and those no operator can ever add.

Names, never prefixes: one module prefix such as ``joblib.`` would let a pickle call
``joblib.load`` and leave the list behind. The shipped list is made by ``discover``.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources

from .artifact import ModelRefused
from .numpy_parts import SUBSTITUTES

# Nothing of the standard library but plain values: what is left opens files, runs programs,
# loads code, or calls what it is given.
_PLAIN = frozenset(
    {
        *(
            f"builtins.{name}"
            for name in (
                "bool",
                "bytearray",
                "bytes",
                "complex",
                "dict",
                "float",
                "frozenset",
                "int",
                "list",
                "object",
                "range",
                "set",
                "slice",
                "str",
                "tuple",
            )
        ),
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.deque",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "decimal.Decimal",
        "fractions.Fraction",
    }
)
_NEVER_ROOTS = frozenset(
    {
        *sys.stdlib_module_names,
        "__builtin__",
        "__main__",
        "__mp_main__",
        "cffi",
        "cloudpickle",
        "dill",
        "fsspec",
        "numba",
        "numexpr",
        "pip",
        "pkg_resources",
        "requests",
        "setuptools",
        "torch",
        "urllib3",
        "yaml",
    }
)
_NEVER_PACKAGES = (
    "joblib.",
    "secureml.",
    "plugins.",
    "numpy.ctypeslib.",
    "numpy.distutils.",
    "numpy.f2py.",
    "numpy.lib.",
    "numpy.testing.",
    "pandas.io.",
    "pandas.core.computation.",
    # SciPy's distributions run source text kept in their own state.
    "scipy.stats.",
    "scipy.io.",
    "scipy.weave.",
    "scipy._lib._ccallback.",
    "sklearn.datasets.",
    "sklearn.utils._testing.",
    "sklearn.conftest.",
)
_NEVER_NAMES = frozenset(
    {
        *(
            f"numpy.{name}"
            for name in (
                "apply_along_axis",
                "apply_over_axes",
                "frombuffer",
                "fromfile",
                "fromfunction",
                "frompyfunc",
                "genfromtxt",
                "load",
                "loadtxt",
                "memmap",
                "piecewise",
                "recarray",
                "record",
                "save",
                "savetxt",
                "savez",
                "savez_compressed",
                "vectorize",
                "void",
            )
        ),
        "pandas.eval",
        "pandas.read_pickle",
        "scipy.LowLevelCallable",
    }
)


def never(name: str) -> bool:
    """Return whether a name may not be allowed by anyone."""
    if name in SUBSTITUTES or name in _PLAIN:  # narrowed stand-ins, and plain values
        return False
    return (
        name.partition(".")[0] in _NEVER_ROOTS
        or name in _NEVER_NAMES
        or name.startswith(_NEVER_PACKAGES)
    )


@cache
def builtin_names() -> frozenset[str]:
    """Return the names shipped with SecureML, for scikit-learn, NumPy and SciPy."""
    text = resources.files(__package__).joinpath("allowed_globals.txt").read_text("ascii")
    return frozenset(text.split())


def allowed_names(extra: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the shipped names and the operator's own; raises ModelRefused("globals")."""
    for name in sorted(extra):
        if never(name):
            raise ModelRefused(
                "globals", f"{name} can run anything and is never allowed", "remove it from allow"
            )
        if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
            raise ModelRefused(
                "globals",
                f"{name} is not the exact name of a class or function",
                "write it as package.module.Name, without wildcards",
            )
    return builtin_names() | extra
