from __future__ import annotations

import numpy as np

from plugins.theft_guard.seen import Reference, Ruler, Seen
from secureml import Typicality


def test_the_cores_ruler_and_reference_have_all_that_is_asked_of_them(target):
    ruler = Typicality(target.handle.card, target.handle.card.reference)

    for name in (*Ruler.__annotations__, "encode", "strangeness", "strange_one", "lean", "bins"):
        assert hasattr(ruler, name), name
    for name in Reference.__annotations__:
        assert hasattr(ruler.reference, name), name


def test_a_batch_is_as_long_as_its_prints():
    assert len(Seen(np.zeros((2, 3)), np.zeros((2, 3)), [[1], [2]], np.zeros(2))) == 2
