"""The eight phases, their order, and what each kind of route skips.

This file is the only place where order is written down.
Inside a phase, plugins run in the order of the operator's ``plugins`` list.
"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """One of eight phases; its value is the name of the method a plugin stands there with."""

    ADMIT = "admit"
    IDENTIFY = "identify"
    AUTHORIZE = "authorize"
    LIMIT = "limit"
    VALIDATE = "validate"
    SHAPE = "shape"
    RESPOND = "respond"
    RECORD = "record"


# The phases a request passes before the view; each becomes one Flask before-request hook.
BEFORE_VIEW = (Phase.ADMIT, Phase.IDENTIFY, Phase.AUTHORIZE, Phase.LIMIT, Phase.VALIDATE)

# A public route has no caller to name and no right to check.
SKIPPED_WHEN_PUBLIC = frozenset({Phase.IDENTIFY, Phase.AUTHORIZE})

# An unknown path still asks who calls, so that our map is not public:
# a stranger gets 401, a known caller 404.
SKIPPED_WHEN_UNKNOWN = frozenset({Phase.AUTHORIZE, Phase.VALIDATE, Phase.SHAPE})

# Phases where a plugin may refuse, and so may be told to only observe.
REFUSING = frozenset({*BEFORE_VIEW, Phase.SHAPE})

# Where nothing is done that a plugin in observe mode says: no refusal, no other result, no
# header. It still records, because what it learns is what it is tried out for.
OBSERVABLE = REFUSING | {Phase.RESPOND}

# Who someone is and what they may do cannot be "tried out": observing would let everybody in.
NEVER_OBSERVED = frozenset({Phase.IDENTIFY, Phase.AUTHORIZE})


def skips(phase: Phase, *, public: bool, known: bool) -> bool:
    """Return whether a request passes a phase by: on a public route, or on no known route."""
    return (public and phase in SKIPPED_WHEN_PUBLIC) or (
        not known and phase in SKIPPED_WHEN_UNKNOWN
    )
