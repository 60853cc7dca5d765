"""What the theft guard costs a row: new ones, and such as are sent again."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from stages import timed

sys.path.append(str(Path(__file__).resolve().parents[1] / "theft"))


def report() -> list[dict]:
    """Print microseconds for 1 and 100 rows of the breast-cancer model, in process."""
    import numpy as np
    from service import Service
    from subjects import subject

    found = []
    with tempfile.TemporaryDirectory() as place:
        target = subject("cancer", "logistic", Path(place))
        service, chance = Service(target, Path(place) / "service"), np.random.default_rng(0)
        for many in (1, 100):
            chosen = target.fresh[chance.integers(len(target.fresh), size=(4000 // many, many))]
            rows = iter(chosen + chance.normal(0, 1e-3, chosen.shape) * target.spread)
            exchange = service.prepare(next(rows), address="192.0.2.1")
            result = target.handle.predict(exchange.read_rows())

            def judge():
                exchange._rows = next(rows)
                service.guard.shape(exchange, result)

            line = {"rows": many, "shape": timed(judge, 4000 // many - 1)}
            judge_again = partial(service.guard.shape, exchange, result)
            line["again"] = timed(judge_again, 300)
            line["validate"] = timed(lambda: service.guard.validate(exchange), 300)
            found.append(line)
            print(
                f"theft_guard, {many:>3} new rows: shape {line['shape']:.0f} us "
                f"({line['shape'] / many:.1f} a row), sent again {line['again']:.0f} us, "
                f"validate {line['validate']:.0f} us"
            )
        service.close()
    return found
