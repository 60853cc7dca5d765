"""The exact names a model file may ask for, and those no operator can ever add.

Names, never prefixes: one module prefix such as ``joblib.`` would let a pickle call
``joblib.load`` and leave the list behind. The shipped list is made by ``discover``.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources
from types import ModuleType

from secureml.config_error import did_you_mean
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters.kinds import KINDS
from secureml.models.unpickling.module_search import first_absent, how_to_find
from secureml.models.unpickling.numpy_values import SUBSTITUTES

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
_OURS = frozenset(name for name in KINDS if name.startswith("secureml."))
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
    # Narrowed stand-ins, plain values, and what stands for models in ONNX.
    if name in SUBSTITUTES or name in _PLAIN or name in _OURS:
        return False
    return (
        name.partition(".")[0] in _NEVER_ROOTS
        or name in _NEVER_NAMES
        or name.startswith(_NEVER_PACKAGES)
    )


@cache
def builtin_names() -> frozenset[str]:
    """Return the names shipped with SecureML: `sklearn_names` and `library_names`."""
    return sklearn_names() | library_names()


@cache
def sklearn_names() -> frozenset[str]:
    """Return the shipped names for scikit-learn, NumPy and SciPy."""
    return _listed("allowed_globals.txt")


@cache
def library_names() -> frozenset[str]:
    """Return the shipped names of the libraries that follow scikit-learn, installed or not."""
    return _listed("library_globals.txt")


def _listed(file: str) -> frozenset[str]:
    text = resources.files(__package__).joinpath(file).read_text("ascii")
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


def check_extra(extra: frozenset[str]) -> None:
    """Refuse an operator's own names where no model file could ever use them.

    Imports nothing: a name may be allowed for a model that is not here yet, and whether its module
    has it is told of modules that are imported already. Raises ModelRefused("globals").
    """
    allowed_names(extra)
    for name in sorted(extra - builtin_names()):  # which are of several scikit-learns
        module, _, attribute = name.rpartition(".")
        absent = first_absent(module)
        if absent:
            raise ModelRefused(
                "globals",
                f"{name} is named, and Python finds no module {absent} here",
                f"correct the name or remove it; if it is right, {how_to_find([absent])}",
            )
        loaded = sys.modules.get(module)
        if loaded is not None and _lacks(loaded, attribute):
            raise ModelRefused(
                "globals",
                f"{name} is named, and the module {module} has no {attribute}",
                f"{did_you_mean(attribute, dir(loaded))}correct the name or remove it",
            )


def _lacks(module: ModuleType, attribute: str) -> bool:
    try:
        getattr(module, attribute)
    except AttributeError:
        return True
    except Exception:  # noqa: BLE001 - a module that makes its names up as they are asked for
        return False
    return False
