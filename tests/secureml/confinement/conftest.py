"""What the tests of the confinement share; pytest imports files one by one, so it is named."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
