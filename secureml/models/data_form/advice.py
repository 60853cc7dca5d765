"""What to say of a value that no data form describes, and what its maker can do."""

from __future__ import annotations

from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any

from secureml.models.data_form.names import full_name
from secureml.models.unpickling.allowlist import never

_SCRIPTS = ("__main__", "__mp_main__")
_A_FUNCTION = (
    "write a `def` in a module that does the same, add its name to allow, and train the model again"
)
_A_LIST = (
    "give names of columns and categories as a list (`list(frame.columns)`), "
    "and train the model again"
)
_TEXT_ONLY = "give its attributes plain values, arrays and estimators, and train the model again"


def advice(value: Any) -> tuple[str, str]:
    """Return what a value is, and the way out."""
    if isinstance(value, FunctionType):
        return _of_name("function", value)
    if isinstance(value, type):
        return _of_name("type", value)
    if isinstance(value, partial):
        return "a functools.partial, which calls whatever function it holds", _A_FUNCTION
    if isinstance(value, (MethodType, BuiltinMethodType)):
        return f"the method {getattr(value, '__qualname__', value)}", _A_FUNCTION
    if type(value).__module__.startswith("pandas."):
        return f"a pandas {type(value).__name__}", _A_LIST
    return _of_name("instance of", type(value))


def _of_name(what: str, thing: Any) -> tuple[str, str]:
    name = full_name(thing)
    if "<lambda>" in name or "<locals>" in name:
        way_out = "put it at the top of a module, add its name to allow, and train the model again"
    elif thing.__module__ in _SCRIPTS:
        way_out = (
            "put it into a module of its own (a file such as ourfeatures.py), import it from "
            "there, add its name to allow, and train the model again"
        )
    elif never(name):
        way_out = "it can never be allowed; " + _TEXT_ONLY
    else:
        way_out = f"if you know and trust that name, add {name} to allow"
    return f"the {what} {name}, which is not on the list", way_out
