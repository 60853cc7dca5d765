"""The one partial that scikit-learn keeps in a fitted estimator, and nothing else of its kind.

A partial calls whatever it holds. Histogram boosting over categories keeps one, which looks at
the numeric columns of a table (``sklearn.ensemble._hist_gradient_boosting.gradient_boosting``).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sklearn.ensemble._hist_gradient_boosting.common import X_DTYPE
from sklearn.utils.validation import check_array


def boosting_check() -> partial[Any]:
    """Return the check of numeric columns as histogram boosting makes it."""
    return partial(check_array, dtype=[X_DTYPE], ensure_all_finite=False)


def is_boosting_check(value: Any) -> bool:
    """Return whether a value is that partial, in all its parts."""
    return type(value) is partial and _is_it(value.func, value.args, value.keywords, vars(value))


def _is_it(function: Any, arguments: Any, words: Any, own: Any) -> bool:
    if function is not check_array or type(arguments) is not tuple or arguments:
        return False
    if type(words) is not dict or words.keys() != {"dtype", "ensure_all_finite"} or own:
        return False
    dtypes = words["dtype"]
    one = type(dtypes) is list and len(dtypes) == 1 and dtypes[0] is X_DTYPE
    return one and words["ensure_all_finite"] is False
