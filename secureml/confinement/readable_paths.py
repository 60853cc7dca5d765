"""What every Python process must read: its installation, shared libraries, a few devices.

The folder of the checkout is not among them, for an instance with its secrets may lie in it; of
it, only the folder of this package's code is readable.
"""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib")
_FILES = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    # How many processors there are, and of which kind: BLAS and OpenMP choose their code by it.
    "/proc/cpuinfo",
    "/proc/meminfo",
    # Which libraries are loaded (threadpoolctl, so KMeans), and what the process takes.
    "/proc/self/maps",
    "/proc/self/status",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
)
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")


def packages() -> dict[str, str]:
    """Return the folder of this application's code by its name."""
    return {"secureml": str(Path(__file__).parents[1])}


def search_path() -> list[str]:
    """Return where installed modules are found: our own path without folders of projects."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return [
        entry
        for entry in sys.path
        if any(entry == path or entry.startswith(f"{path}/") for path in standard)
        or Path(entry).name in _PACKAGE_FOLDERS
    ]


def installation() -> list[str]:
    """Return all that an empty Python process must read to start and to import."""
    library = Path(sys.base_prefix) / "lib"
    own = [] if str(library) in _LIBRARIES else [str(path) for path in library.glob("libpython*")]
    return [*search_path(), *own, *packages().values(), *_LIBRARIES, *_FILES]


def readable_by_others(paths: Iterable[str]) -> bool:
    """Say whether a user who owns nothing could read all of these, by the modes of the files.

    What is missing does not count. An ACL that grants more is not seen.
    """
    return all(_is_open(Path(os.path.realpath(path))) for path in paths if Path(path).exists())


def _is_open(path: Path) -> bool:
    mode = path.stat().st_mode
    wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & wanted == wanted and all(
        parent.stat().st_mode & stat.S_IXOTH for parent in path.parents
    )
