"""The attributes of one fitted object, asked for with the kind and shape they must have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from secureml.models.artifact.version_files import ModelRefused

_LONGEST = 2**31 - 1  # what a C int counts


@dataclass(frozen=True)
class Fitted:
    """One object of the file: its class, and its own attributes."""

    kind: str
    state: dict[str, Any]

    def refuse(self, name: str, what: str) -> NoReturn:
        """Refuse the file for one attribute; raises ModelRefused("format")."""
        raise ModelRefused(
            "format",
            f"in the model file, {self.kind}.{name} {what}; compiled code would read or write "
            "memory outside the model",
            "train the model again and write it with joblib.dump; if you did not change the file "
            "yourself, do not use it",
        )

    def demand(self, right: Any, name: str, what: str) -> None:
        """Refuse the file unless ``right``."""
        if not right:
            self.refuse(name, what)

    def has(self, *names: str) -> bool:
        """Return whether any of the attributes is there."""
        return any(name in self.state for name in names)

    def whole(self, name: str, lowest: int = 0) -> int:
        """Return an attribute that must be a whole number from ``lowest`` to 2**31 - 1."""
        value: Any = self.state.get(name)
        self.demand(
            is_whole(value) and lowest <= int(value) <= _LONGEST,
            name, f"is not a whole number of {lowest} or more",
        )  # fmt: skip
        return int(self.state[name])

    def array(self, name: str, kinds: str, *shape: int | None) -> Any:
        """Return an attribute that must be an array of this shape; None is any length."""
        value: Any = self.state.get(name)
        self.demand(
            type(value) is np.ndarray and value.dtype.kind in kinds and value.ndim == len(shape),
            name, f"is not an array of {len(shape)} dimension(s) with the right kind of numbers",
        )  # fmt: skip
        fits = all(want in (None, have) for want, have in zip(shape, value.shape, strict=True))
        self.demand(fits, name, f"has the shape {value.shape}, which does not fit the model")
        return value

    def columns(self) -> int:
        """Return ``n_features_in_``: where it is missing, rows of any width are accepted."""
        return self.whole("n_features_in_", 1)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, and no truth value."""
    return type(value) is int or isinstance(value, np.integer)


def within(numbers: Any, end: int) -> bool:
    """Return whether every number is 0 or more, and less than ``end``."""
    return not numbers.size or (int(numbers.min()) >= 0 and int(numbers.max()) < end)
