"""A backup as one file: a tar, packed, whose last member lists all the others with their digests.

Guarantees: a database is copied in a consistent state, a log up to its last
whole line; what is read back is exactly what the list says, or nothing is put in place. Names in
it stay below two roots, ``instance/`` and ``outside/`` (the rest of the machine, from ``/``).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from secureml.config_error import ConfigError

FORMAT = 1
MANIFEST = "manifest.json"
ROOTS = ("instance", "outside")
_SQLITE = b"SQLite format 3\0"
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database; a copy needs none
_LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the archive; ``owner`` and ``group`` are names, ids where there is none."""

    name: str
    kind: str  # file, folder or link
    mode: int
    owner: str
    group: str
    size: int = 0
    sha256: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in the archive; ``missing`` says what belongs to the instance and is not."""

    made: str
    instance: str
    entries: tuple[Entry, ...]
    missing: tuple[str, ...] = ()


class Writer:
    """Writes one archive, readable by its owner alone."""

    def __init__(self, file: IO[bytes], scratch: Path) -> None:
        self._packed = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6)
        self._tar = tarfile.TarFile(fileobj=self._packed, mode="w", format=tarfile.PAX_FORMAT)
        self._scratch, self._entries = scratch, dict[str, Entry]()

    def add(self, path: Path, name: str, *, follow: bool = False) -> None:
        """Add a file, folder or link under a name; what is neither is passed over.

        ``follow`` adds what a link leads to in its place.
        """
        found = path.stat() if follow else path.lstat()
        if name in self._entries:
            return
        if stat.S_ISLNK(found.st_mode):
            self._put(name, "link", found, target=str(path.readlink()))
        elif stat.S_ISDIR(found.st_mode):
            self._put(name, "folder", found)
        elif stat.S_ISREG(found.st_mode):
            self._file(path, name)

    def finish(self, made: str, instance: Path, missing: list[str]) -> Manifest:
        """Write the list and end the archive."""
        entries = tuple(self._entries.values())
        manifest = Manifest(made, str(instance), entries, tuple(missing))
        content = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1).encode()
        self._member(MANIFEST, io.BytesIO(content), len(content))
        self._tar.close()
        self._packed.close()
        return manifest

    def _file(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if file.read(len(_SQLITE)) == _SQLITE:
                with closing(_database(path, self._scratch)) as copy:
                    self._content(name, found, copy, os.fstat(copy.fileno()).st_size)
                return
            size = _whole_lines(file, found.st_size) if _grows(path) else found.st_size
            file.seek(0)
            self._content(name, found, file, size)

    def _content(self, name: str, found: os.stat_result, file: IO[bytes], size: int) -> None:
        read = _Digesting(file, size)
        self._member(name, read, size)
        self._put(name, "file", found, size=size, sha256=read.digest.hexdigest())

    def _member(self, name: str, file: Any, size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._tar.addfile(member, file)

    def _put(self, name: str, kind: str, found: os.stat_result, **more: Any) -> None:
        owner, group = _owner(found)
        mode = stat.S_IMODE(found.st_mode)
        self._entries[name] = Entry(name, kind, mode, owner, group, **more)


class _Digesting:
    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left, self.digest = file, size, hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, self._left))
        self._left -= len(content)
        self.digest.update(content)
        return content


def _grows(path: Path) -> bool:
    return path.suffix in (".jsonl", ".log")


def _whole_lines(file: IO[bytes], size: int) -> int:
    """Return how much of a log is whole lines: somebody may be writing the last one."""
    start = max(0, size - _LONGEST_LINE)
    file.seek(start)
    cut = file.read(size - start).rfind(b"\n")
    return start + cut + 1 if cut >= 0 else size


def _database(path: Path, scratch: Path) -> IO[bytes]:
    """Return a consistent copy of a database, in one file."""
    made = scratch / "database"
    made.unlink(missing_ok=True)
    try:
        source = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30)
        with closing(source), closing(sqlite3.connect(made)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            (outcome,) = copy.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        outcome = str(error)
    if outcome != "ok":
        raise ConfigError(
            f"the database cannot be copied ({outcome})",
            file=str(path),
            fix="try again; if it is damaged, restore an earlier backup",
        )
    return made.open("rb")


def is_beside_a_database(path: Path) -> bool:
    """Tell whether SQLite keeps this file for a database beside it."""
    return any(
        path.name.endswith(end) and path.with_name(path.name.removesuffix(end)).exists()
        for end in _BESIDE
    )


def _owner(found: os.stat_result) -> tuple[str, str]:
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    try:
        return owner, grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        return owner, str(found.st_gid)


@contextmanager
def unpacked(file: Path, staging: Path) -> Iterator[Manifest]:
    """Unpack an archive into an empty folder and hold it against its list.

    Yields what it holds. Raises ConfigError for an archive that is not whole, was changed, or
    names what lies outside its two roots.
    """
    try:
        with tarfile.open(file, "r:gz") as tar:
            found = _extract(tar, staging)
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _not_whole(file, type(error).__name__) from None
    if found is None:
        raise _not_whole(file, "its manifest is missing")
    _make_the_rest(found, staging)
    yield found


def _extract(tar: tarfile.TarFile, staging: Path) -> Manifest | None:
    digests: dict[str, tuple[int, str]] = {}
    for member in tar:
        content = tar.extractfile(member)
        if content is None:
            raise ValueError("a member is not a regular file")
        if member.name == MANIFEST:
            manifest = _read_manifest(content.read())
            _compare(manifest, digests)
            if tar.next() is not None:
                raise ValueError("there is data after the manifest")
            return manifest
        path = staging / _safe(member.name)
        if member.name in digests:
            raise ValueError("a member occurs twice")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        digests[member.name] = _write(path, content)
    return None


def _write(path: Path, content: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as made:
        while block := content.read(1024 * 1024):
            made.write(block)
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _read_manifest(content: bytes) -> Manifest:
    found = json.loads(content)
    if found["format"] != FORMAT:
        raise ValueError("another format")
    entries = tuple(Entry(**entry) for entry in found["entries"])
    for entry in entries:
        _safe(entry.name)
    return Manifest(found["made"], found["instance"], entries, tuple(found["missing"]))


def _compare(manifest: Manifest, digests: dict[str, tuple[int, str]]) -> None:
    listed = {e.name: (e.size, e.sha256) for e in manifest.entries if e.kind == "file"}
    if listed != digests:
        raise ValueError("its files differ from its manifest")


def _safe(name: str) -> str:
    """Return a name that stays below one of the two roots."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] not in ROOTS or ".." in parts or "\0" in name:
        raise ValueError("a path leads outside the archive")
    return name


def _make_the_rest(manifest: Manifest, staging: Path) -> None:
    """Make folders, then links: while files were written there was no link to lead them away.

    A folder that is on the way to a file, and not in the list, is an ordinary one.
    """
    for folder, _, _ in os.walk(staging):
        if Path(folder) != staging:
            Path(folder).chmod(0o755)
    for entry in manifest.entries:
        if entry.kind == "folder":
            (staging / entry.name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for entry in manifest.entries:
        if entry.kind == "link":
            (staging / entry.name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (staging / entry.name).symlink_to(entry.target)


def _not_whole(file: Path, why: str) -> ConfigError:
    return ConfigError(
        f"this backup is incomplete or damaged ({why})",
        file=str(file),
        fix="use another copy of the file that `secureml backup` wrote",
    )


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder for copies, closed to others, on the disk where the archive goes."""
    with tempfile.TemporaryDirectory(prefix=".secureml-backup-", dir=folder) as made:
        yield Path(made)
