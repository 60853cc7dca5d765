"""Times in the store that lie ahead of the clock: the clock was set back since they were written.

Clocks of hosts that share a store differ a little. What lies further ahead than that is not
waited for, else a clock that was a year ahead for a minute would have its effect for a year.
"""

from __future__ import annotations

CLOCK_SKEW = 10.0  # seconds by which the clocks of two hosts may differ


def is_ahead(moment: float, now: float) -> bool:
    """Tell whether a stored moment can only come from a clock that was set back; epoch seconds."""
    return moment > now + CLOCK_SKEW
