"""``secureml score``: whole files answered by a sealed model, by the rules of the API."""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.cli.model_records import emit_event, has_settings, registry_of
from secureml.cli.model_refusals import with_refusals
from secureml.kit.output import Command, emit, json_option

if TYPE_CHECKING:
    from secureml.scoring.backends import Workers
    from secureml.scoring.order import SealedModel, Summary
    from secureml.scoring.progress import Progress
    from secureml.scoring.rules import PluginRules

_PATH = click.Path(path_type=Path)
_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


def _csv_options(command: Command) -> Command:
    """Add the options that say how a CSV file is written."""
    for name, what in (
        ("encoding", "Encoding of CSV files, such as cp1252; found out if not given."),
        ("decimal", "Their decimal sign (point, comma); found out if not given."),
        ("separator", "What separates their cells (comma, semicolon, tab, bar)."),
    ):
        command = click.option(f"--{name}", help=what)(command)
    return command


def _cluster_options(command: Command) -> Command:
    """Add the options of a Dask cluster."""
    for option in (
        click.option(
            "--shared-models",
            is_flag=True,
            help="Workers of the cluster read the models at the same path as here; not sent.",
        ),
        click.option("--cluster-key", type=_PEM, help="Private key of that certificate (PEM)."),
        click.option("--cluster-cert", type=_PEM, help="Certificate to present to it (PEM)."),
        click.option("--cluster-ca", type=_PEM, help="Authority of the cluster's TLS (PEM)."),
        click.option(
            "--cluster",
            metavar="ADDRESS",
            help="Scheduler of a Dask cluster, such as tls://10.0.0.5:8786. It must be closed to "
            "others: whatever is sent to it is run.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("model", metavar="NAME[@VERSION]")
@click.argument("source", metavar="INPUT")
@click.argument("output", metavar="OUTPUT", type=_PATH)
@click.option("--probabilities", is_flag=True, help="Write the probability of each class, too.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN,...", help="Columns to pass through; repeatable."
)
@click.option(
    "--ignore", multiple=True, metavar="COLUMN,...", help="Columns to leave out; repeatable."
)
@click.option(
    "--bad-rows",
    type=click.Choice(("stop", "skip")),
    default="stop",
    show_default=True,
    help="What a row that the API would refuse does: it stops the run, or has no answer.",
)
@click.option(
    "--report",
    type=_PATH,
    help="Write a line of JSON for each cell or row that was refused, clipped or flagged.",
)
@click.option(
    "--chunk-rows",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    help="Rows that a worker holds and scores together.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=os.cpu_count() or 1,
    show_default="one for each processor",
    help="Processes of this machine that score.",
)
@click.option("--threads", is_flag=True, help="Threads of one process in place of processes.")
@click.option("--force", is_flag=True, help="Replace output files that exist.")
@click.option("--restart", is_flag=True, help="Drop what an unfinished run has left, begin anew.")
@_csv_options
@_cluster_options
@json_option
@click.pass_obj
@with_refusals
def score(
    context: CommandContext, /, model: str, source: str, output: Path, as_json: bool, **words: Any
) -> None:
    """Answer every row of INPUT with the model NAME and write OUTPUT.

    INPUT is a CSV or Parquet file, a folder of them, or a pattern such as 'in/*.csv'. OUTPUT is a
    file, or of several files a folder. A run that was ended continues where it stood when the same
    command is given again, and its output is the same to the bit.
    """
    from secureml.scoring.refused import NotScored
    from secureml.scoring.targets import find_files

    _check_cluster_options(words)
    try:
        files = find_files(source, output)
        if not as_json:
            for name in files.left_out:
                click.echo(f"left out, by its name: {name}", err=True)
        send = words["cluster"] is not None and not words["shared_models"]
        sealed = _sealed(context, model, send=send)
        with _recorded(context, sealed, len(files.pairs)) as facts:
            summary = _score(context, sealed, files, as_json=as_json, **words)
            facts.append(summary)
    except NotScored as why:
        raise click.ClickException(str(why)) from None
    _say(summary, sealed, output, as_json=as_json)


def _check_cluster_options(words: dict[str, Any]) -> None:
    if words["cluster"] is not None:
        return
    for name in ("cluster_ca", "cluster_cert", "cluster_key", "shared_models"):
        if words[name]:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} needs --cluster ADDRESS")


def _score(
    context: CommandContext, sealed: SealedModel, files: Any, *, as_json: bool, **words: Any
) -> Summary:
    from secureml.scoring import run
    from secureml.scoring.order import Options

    options = Options(
        chunk_rows=words["chunk_rows"],
        probabilities=words["probabilities"],
        keep=_names(words["keep"]),
        ignore=_names(words["ignore"]),
        skip_bad_rows=words["bad_rows"] == "skip",
        report=words["report"],
        force=words["force"],
        restart=words["restart"],
        local=words["cluster"] is None,
        stated={
            name: words[name]
            for name in ("separator", "decimal", "encoding")
            if words[name] is not None
        },
    )

    def progress(total: int, before: int) -> Progress:
        return _progress(total, before, as_json=as_json)

    def workers(shared: list[bytes]) -> AbstractContextManager[Workers]:
        return _workers(words, shared)

    return run.score(sealed, files, options, _plugin_rules(context), workers, progress)


def _workers(words: dict[str, Any], shared: list[bytes]) -> AbstractContextManager[Workers]:
    from secureml.scoring import backends

    if words["cluster"] is None:
        return backends.local(words["workers"], threads=words["threads"])
    files = (words["cluster_ca"], words["cluster_cert"], words["cluster_key"])
    return backends.cluster(backends.Cluster(words["cluster"], *files), shared)


def _sealed(context: CommandContext, model: str, *, send: bool) -> SealedModel:
    """Return a model whose signature and card are verified; raises ModelRefused."""
    import hashlib

    from secureml.models.artifact.version_files import ModelRefused
    from secureml.scoring.order import SealedModel
    from secureml.scoring.verified_card import verified_card

    registry = registry_of(context)
    name, _, version = model.partition("@")
    if not registry.versions(name):
        raise ModelRefused("missing", f"there is no model {name!r}", "see `secureml models list`")
    artifact = registry.artifact(name, version or registry.chosen(name))
    card = verified_card(artifact, registry.verifiers, registry.sections)
    return SealedModel(
        card,
        (artifact.digest, hashlib.sha256(artifact.card_bytes).hexdigest()),
        registry.root,
        registry.extra_allowed,
        (artifact.model_bytes, artifact.card_bytes) if send else None,
    )


def _plugin_rules(context: CommandContext) -> list[PluginRules]:
    """Return what enabled plugins say of rows and answers; one that only observes says nothing."""
    from secureml.scoring.rules import PluginRules

    if not has_settings(context):
        return []
    tables = context.core.settings.plugin_tables
    found = []
    for loaded in context.core.plugins:
        rows = getattr(loaded.plugin, "row_rules", None)
        answers = getattr(loaded.plugin, "answer_limits", None)
        if loaded.observe or (rows is None and answers is None):
            continue
        table = json.loads(json.dumps(dict(tables.get(loaded.name, {})), default=str))
        found.append(
            PluginRules(
                loaded.name, table, rows() if rows else None, answers() if answers else None
            )
        )
    return found


@contextmanager
def _recorded(context: CommandContext, sealed: SealedModel, files: int) -> Iterator[list[Summary]]:
    """Have the run recorded as it begins and ends, with who runs it and what came of it."""
    user = _user()
    model, version, digest = sealed.card.name, sealed.card.version, sealed.digests[0]
    emit_event(
        context, "model_scoring_started", model=model, version=version, digest=digest,
        files=str(files), user=user,
    )  # fmt: skip
    found: list[Summary] = []
    try:
        yield found
    except BaseException as error:
        emit_event(
            context, "model_scoring_stopped", model=model, version=version, user=user,
            why=type(error).__name__,
        )  # fmt: skip
        raise
    summary = found[0]
    emit_event(
        context, "model_scoring_finished", model=model, version=version, user=user,
        files=str(files), rows=str(summary.read), answered=str(summary.answered),
    )  # fmt: skip


def _user() -> str:
    """Return who runs this process, by name where it has one."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _progress(total: int, before: int, *, as_json: bool) -> Progress:
    from secureml.scoring.progress import Progress

    def write(text: str, ends: bool) -> None:
        if not as_json:
            click.echo(text, err=True, nl=ends)

    return Progress(total, before, time.monotonic, write, terminal=sys.stderr.isatty())


def _names(given: Iterable[str]) -> tuple[str, ...]:
    """Return the names of repeatable lists, each once."""
    return tuple(dict.fromkeys(name for words in given for name in words.split(",") if name))


def _say(summary: Summary, sealed: SealedModel, output: Path, *, as_json: bool) -> None:
    card = sealed.card
    answered = f"{output}: {summary.answered} of {summary.read} rows answered"
    files = f"{summary.files} file{'s' * (summary.files != 1)}"
    lines = [f"{answered} by {card.name} version {card.version}, {files}"]
    if summary.resumed:
        lines.append(f"{summary.resumed} rows were finished by an earlier run")
    lines += [f"left out: {count} rows {code}" for code, count in sorted(summary.refused.items())]
    lines += [f"{what}: {count} cells" for what, count in sorted(summary.changed.items())]
    said = {**summary._asdict(), "model": card.name, "version": card.version}
    emit(said, as_json, "\n".join(lines))
