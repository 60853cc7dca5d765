"""A file or folder of the instance folder, as its owner declares it: the core or a plugin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

_OTHERS, _OTHERS_WRITE = 0o077, 0o022


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """One path in the instance folder, relative and with ``/``; ``what`` says what it holds.

    A ``mode`` without rights for others makes it a secret: the start refuses one that others can
    open. ``backup`` is false for what is made anew at each start. ``service_writes`` is true for
    what the running service writes; commands write the rest. ``make`` returns the content with
    which ``secureml init`` makes the file; a folder is made empty. ``public_sealing_key`` is true
    for the public half of the key that seals models: ``init`` makes both halves, or neither.

    Raises ValueError for a path that leads out of the folder, and for a mode that lets others
    write.
    """

    path: str
    what: str
    mode: int = 0o600
    folder: bool = False
    backup: bool = True
    service_writes: bool = False
    make: Callable[[], bytes] | None = None
    public_sealing_key: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or str(path) != self.path or "\0" in self.path:
            raise ValueError(
                f"{self.path!r} is not a path inside the instance folder such as 'logs/mine.log'"
            )
        if not 0 <= self.mode <= 0o777 or self.mode & _OTHERS_WRITE:
            raise ValueError(f"mode {self.mode:04o} of {self.path!r} would let others write it")
        if self.folder and (self.make is not None or self.public_sealing_key):
            raise ValueError(f"{self.path!r} is a folder, and only a file has content")

    @property
    def secret(self) -> bool:
        """Whether other users may not open it."""
        return not self.mode & _OTHERS

    def is_within(self, folder: InstanceFile) -> bool:
        """Tell whether it is in another one that is a folder."""
        inside = PurePosixPath(folder.path) in PurePosixPath(self.path).parents
        return folder.folder and inside and folder.path != self.path
