"""What of a run is finished, on disk beside its output: a killed run is taken up from it.

The folder holds ``run.json`` (model, options and inputs with their digests), a part for each
finished chunk, and ``finished.jsonl``, one line for each with the SHA-256 of its part. A part is
trusted only where it has that digest, so it does not matter when the run was killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from secureml.scoring.chunk_table import Span
from secureml.scoring.refused import NotScored
from secureml.scoring.targets import make_folder

_RUN, _FINISHED, _LOCK = "run.json", "finished.jsonl", "lock"
Record = Mapping[str, Any]


class Journal:
    """The folder of one run, locked while it is open; raises NotScored where another holds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(folder)
        facts = folder.lstat()
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
            raise NotScored(
                f"{folder} can be read by others or belongs to another user",
                "remove it; nothing but a run that was not finished is in it",
            )
        self._lock = _private(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise NotScored(
                f"another run writes this output ({folder} is locked)",
                "wait until it has ended, or name another output",
            ) from None
        self._chunks: dict[tuple[int, int], Record] = {}
        self._outputs: dict[int, str] = {}

    @property
    def is_new(self) -> bool:
        """Whether there is no run to take up."""
        return not (self.folder / _RUN).exists()

    def begin(self, run: Record, *, restart: bool) -> bool:
        """Take up the run that is here, or begin one; return whether one was taken up.

        Raises NotScored where what is here is of another input, model or with other options.
        """
        file = self.folder / _RUN
        before = None if restart else _read_json(file)
        if before is not None:
            _check_same(before, json.loads(json.dumps(run)), self.folder)
            self._read_finished()
        else:
            self._clear()
            partial = self.folder / f"{_RUN}.new"
            _write(partial, json.dumps(run, indent=1).encode())
            partial.replace(file)
        return before is not None

    def _clear(self) -> None:
        for entry in self.folder.iterdir():
            if entry.name != _LOCK:
                entry.unlink()

    def _read_finished(self) -> None:
        try:
            text = (self.folder / _FINISHED).read_text("utf-8")
        except FileNotFoundError:
            return
        if not text.endswith("\n") and text:
            # The line that was being written as the run was killed.
            _write(self.folder / _FINISHED, text[: text.rfind("\n") + 1].encode())
        for line in text.split("\n")[:-1]:
            record = json.loads(line)
            if "output" in record:
                self._outputs[record["file"]] = record["output"]
            else:
                self._chunks[record["file"], record["chunk"]] = record

    # -- chunks -------------------------------------------------------------------------------

    def record_of(self, file: int, chunk: int, *, published: bool) -> Record | None:
        """Return what is recorded of a finished chunk that is whole, else None.

        Of a file that is published no parts are needed.
        """
        record = self._chunks.get((file, chunk))
        if record is None:
            return None
        if not published and _digest(self._part(file, chunk)) != record["sha256"]:
            return None
        if _digest(self._report(file, chunk)) != record["report_sha256"]:
            return None
        return record

    def keep(self, file: int, chunk: int, part: bytes, report: bytes, record: Record) -> None:
        """Record a finished chunk with its part of the output and of the report."""
        _write(self._part(file, chunk), part)
        _write(self._report(file, chunk), report)
        digests = {"sha256": _sha256(part), "report_sha256": _sha256(report)}
        found = {"file": file, "chunk": chunk, **record, **digests}
        self._chunks[file, chunk] = found
        self._add(found)

    def part(self, file: int, chunk: int) -> bytes:
        """Return a part of the output; raises NotScored where it is not what was recorded."""
        found = self._part(file, chunk).read_bytes()
        if _sha256(found) != self._chunks[file, chunk]["sha256"]:
            raise NotScored(f"{self._part(file, chunk)} was changed", "run the command again")
        return found

    def reports(self, chunks: Sequence[int]) -> Iterator[bytes]:
        """Yield the parts of the report, file by file; ``chunks`` says how many each has."""
        for file, count in enumerate(chunks):
            for chunk in range(count):
                yield self._report(file, chunk).read_bytes()

    def records(self, file: int, chunks: int) -> list[Record]:
        """Return what is recorded of the chunks of a file, all of which are finished."""
        return [self._chunks[file, chunk] for chunk in range(chunks)]

    # -- files --------------------------------------------------------------------------------

    def whole(self, file: int) -> Path:
        """Return the path at which a file of the output is put together."""
        path = self.folder / f"{file:06d}.whole"
        path.unlink(missing_ok=True)
        os.close(_private(path, os.O_WRONLY))
        return path

    def announce(self, file: int, whole: Path) -> None:
        """Record what a file of the output will be, before it appears under its name."""
        self._outputs[file] = _digest(whole)
        self._add({"file": file, "output": self._outputs[file]})

    def is_published(self, file: int, target: Path) -> bool:
        """Tell whether the file that was announced is there, as it was made."""
        expected = self._outputs.get(file)
        return expected is not None and not target.is_symlink() and _digest(target) == expected

    def drop_parts(self, file: int, chunks: Sequence[Span]) -> None:
        """Remove the parts of a file that is published; what is reported of it stays."""
        for chunk in range(len(chunks)):
            self._part(file, chunk).unlink(missing_ok=True)

    def close(self, *, finished: bool) -> None:
        """Let go of the run; one that is finished, or never began, leaves nothing."""
        if finished or self.is_new:
            shutil.rmtree(self.folder)
        os.close(self._lock)

    def _part(self, file: int, chunk: int) -> Path:
        return self.folder / f"{file:06d}-{chunk:08d}.part"

    def _report(self, file: int, chunk: int) -> Path:
        return self.folder / f"{file:06d}-{chunk:08d}.report"

    def _add(self, record: Record) -> None:
        line = json.dumps(record).encode() + b"\n"
        with os.fdopen(_private(self.folder / _FINISHED, os.O_WRONLY | os.O_APPEND), "wb") as file:
            file.write(line)


def _check_same(before: Any, now: Any, folder: Path) -> None:
    again = "--restart to begin anew and drop what is finished"
    if before.get("model") != now["model"]:
        was = before.get("model", {})
        raise NotScored(
            f"the run that was not finished ({folder}) is of the model {was.get('name')} version "
            f"{was.get('version')}, and this is another (name, version or digest)",
            f"score with {was.get('name')}@{was.get('version')}, or {again}",
        )
    for then, file in zip(before.get("inputs", []), now["inputs"], strict=False):
        if then != file:
            raise NotScored(
                f"the input {file['file']} is not the one that the run in {folder} began with",
                f"restore it, or {again}",
            )
    if before != now:
        options = before.get("options", {})
        others = [name for name, value in now["options"].items() if options.get(name) != value]
        raise NotScored(
            f"the run that was not finished ({folder}) had other options or inputs"
            + (f": {', '.join(sorted(others))}" if others else ""),
            f"give the same ones, or {again}",
        )


def _private(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(_private(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(content)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise NotScored(f"{path} cannot be read", "--restart to begin anew") from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex, "" where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
