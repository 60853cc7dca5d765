"""``secureml audit-log verify | show | export | checkpoint | prune | start-new``."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from secureml.kit import output
from secureml.kit.command_types import Duration, Time

from . import checkpoint as signed
from . import codec, reader
from .chain_types import WrongChain, WrongKey
from .reader import Filter
from .service import AuditService, BrokenChain

_pass_service = click.make_pass_decorator(AuditService)


def group(service: AuditService) -> click.Group:
    """Return the commands over one chain."""

    @click.group("audit-log", commands=[verify, show, export, checkpoint, prune, start_new])
    @click.pass_context
    def audit_log(ctx: click.Context) -> None:
        """Verify, read, export, sign and prune the audit log."""
        ctx.obj = service

    return audit_log


def _now() -> float:
    return float(click.get_current_context().obj.now())


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag, kind, words in (
        ("--until", Time(_now), "Only before this time."),
        ("--since", Time(_now), "Only from this time on, or this long ago: 2h."),
        ("--id", str, "Only this request."),
        ("--code", str, "Only this problem code."),
        ("--event", str, "Only events with this name."),
        ("--client", str, "Only records of this client."),
    ):
        command = click.option(flag, type=kind, help=words)(command)
    return command


@click.command()
@click.option("--checkpoints", type=click.Path(exists=True, path_type=Path), help="Their file.")
@click.option(
    "--public",
    metavar="KEY",
    help="The public key whose checkpoints count; base64url, as in the checkpoints.",
)
@output.json_option
@_pass_service
def verify(
    service: AuditService, checkpoints: Path | None, public: str | None, as_json: bool
) -> None:
    """Verify the whole chain; name the first broken record and what is wrong with it."""
    try:
        key = signed.public_key(public) if public else None
        report, point = service.verify(checkpoints, key)
    except (WrongKey, signed.InvalidKey) as error:
        raise click.ClickException(str(error)) from None
    data = {
        **dataclasses.asdict(report),
        "ok": report.finding is None,
        "checkpoint": point and point.seq,
    }
    broken = report.finding
    if broken is None:
        words = [f"{report.records} records in {report.files} files, unbroken"]
        words += [f"agrees with the checkpoint of record {point.seq}"] if point else []
    else:
        where = f" ({broken.file} line {broken.line})" if broken.file else ""
        words = [f"broken at record {broken.seq}{where}: {broken.kind}, {broken.text}"]
    output.emit(data, as_json, "\n".join(words + [f"note: {note}" for note in report.notes]))
    if broken is not None:
        raise click.exceptions.Exit(1)


@click.command()
@_filters
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True)
@output.json_option
@_pass_service
def show(service: AuditService, /, count: int, as_json: bool, **wanted: Any) -> None:
    """Show the last records that match."""
    last = list(deque(_matching(service, _filter(wanted)), maxlen=count))
    lines = [output.record_line(record) for record in last]
    output.emit(last, as_json, "\n".join(lines) or "no records match")


@click.command()
@_filters
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl")
@click.option("--output", "place", type=click.Path(path_type=Path), help="Else stdout.")
@output.json_option
@_pass_service
def export(
    service: AuditService, /, form: str, place: Path | None, as_json: bool, **wanted: Any
) -> None:
    """Write all records that match, as JSON lines or as CSV without formulas."""
    chosen = _matching(service, _filter(wanted))
    lines = reader.table(chosen) if form == "csv" else map(_json_line, chosen)
    if place is None:
        for words in lines:
            click.echo(words, nl=False)
        return
    count = -(form == "csv")  # its first line is no record
    with place.open("x", encoding="utf-8", newline="") as file:
        place.chmod(0o640)
        for words in lines:
            file.write(words)
            count += 1
    output.emit({"records": count, "file": str(place)}, as_json, f"{place}: {count} records")


@click.command()
@output.json_option
@_pass_service
def checkpoint(service: AuditService, as_json: bool) -> None:
    """Verify the whole chain, then sign its last record; a broken chain is not signed."""
    if service.signer is None:
        raise click.ClickException("there is no checkpoint_key in [plugins.audit_log]")
    try:
        point = service.sign(service.signer)
    except BrokenChain as error:
        raise click.ClickException(
            f"the audit log is {error}; nothing is signed; fix: see `secureml audit-log "
            "verify`, then restore the missing records from a backup, or keep the files "
            "as evidence and start a new chain with `secureml audit-log start-new "
            "--reason ...`"
        ) from None
    except (WrongKey, WrongChain) as error:
        raise click.ClickException(str(error)) from None
    service.signer.close()
    data = {**dataclasses.asdict(point), "public": signed.public_text(service.signer.public())}
    text = f"record {point.seq} is signed in {service.signer.place} by {data['public']}"
    output.emit(data, as_json, text)


@click.command()
@click.option("--older-than", type=Duration(), required=True, help="Such as 365d.")
@output.json_option
@_pass_service
def prune(service: AuditService, older_than: float, as_json: bool) -> None:
    """Delete whole files of old records; the rest remains verifiable."""
    report, _ = service.verify()
    if report.finding is not None:
        raise click.ClickException(
            "the chain is broken, so nothing is deleted; fix: see `secureml audit-log verify`"
        )
    gone = service.prune(older_than)
    text = f"deleted {', '.join(gone)}" if gone else "no file is old enough"
    output.emit({"deleted": gone}, as_json, text)


@click.command("start-new")
@click.option(
    "--reason", required=True, help="The reason; it is recorded at the start of the new chain."
)
@output.json_option
@_pass_service
def start_new(service: AuditService, reason: str, as_json: bool) -> None:
    """Start a new chain because this one is broken; its files are kept in another folder."""
    head = service.start_new(reason)
    text = (
        f"the chain {head.chain} was started; the earlier files are in {service.folder}/ended-..."
    )
    output.emit({"chain": head.chain, "seq": head.seq}, as_json, text)


def _filter(words: Mapping[str, str | float | None]) -> Filter:
    return Filter(**{name: _text(word) for name, word in words.items() if word is not None})


def _text(word: str | float) -> str:
    return codec.rfc3339(word) if isinstance(word, float) else word


def _matching(service: AuditService, wanted: Filter) -> Iterator[dict[str, Any]]:
    return (record for record in service.reader.after(0) if wanted.matches(record))


def _json_line(record: Mapping[str, Any]) -> str:
    return codec.dump(record) + "\n"
