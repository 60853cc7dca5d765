"""``secureml models assess``: what a sealed model gives away, and which settings follow from it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.cli.model_records import registry_of
from secureml.kit.output import emit, json_option

if TYPE_CHECKING:
    from secureml.models.assessment.assess import Progress
    from secureml.models.assessment.report import Report
    from secureml.models.serving.handle import ModelHandle

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("model", metavar="NAME[@VERSION]")
@click.option(
    "--data",
    type=_EXISTING,
    required=True,
    help="The table that the model was fitted on: CSV with a header.",
)
@click.option(
    "--holdout",
    type=_EXISTING,
    help="A table of the same columns that the model has not seen: for membership inference.",
)
@click.option("--target", help="Column of the tables with the true answers.")
@click.option(
    "--long", "is_long", is_flag=True, help="Ask more, for minutes: more attackers, three seeds."
)
@click.option(
    "--decimals",
    type=click.IntRange(0, 15),
    default=2,
    show_default=True,
    help="Decimal places of rounded answers, as you give or would give them.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the figures as a picture (SVG) to this file.",
)
@json_option
@click.pass_obj
def assess(
    context: CommandContext,
    /,
    model: str,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Attack a sealed model: membership, extraction, evasion, inversion.

    The model is asked on this machine, through the path that a request takes; no server is asked.
    Recommended settings are printed as lines for secureml.toml.
    """
    from secureml.models.artifact.version_files import ModelRefused
    from secureml.models.assessment.plot import as_svg
    from secureml.models.assessment.recommendation import recommend
    from secureml.models.assessment.report import as_json as written
    from secureml.models.assessment.table_text import as_text

    try:
        registry, (name, _, version) = registry_of(context), model.partition("@")
        chosen = version or registry.card(name).version
        report = _report(registry.prove(name, chosen), progress=_progress(as_json), **options)
    except ModelRefused as refused:
        raise click.ClickException(str(refused)) from None
    recommendation = recommend(report)
    if plot is not None:
        plot.write_text(as_svg(report), "utf-8")
    recommended = {
        "form": recommendation.form,
        "budget": recommendation.budget,
        "reasons": list(recommendation.reasons),
        "toml": "\n".join(recommendation.toml),
    }
    emit(
        {**written(report), "recommended": recommended},
        as_json,
        as_text(report, recommendation),
    )


def _report(
    handle: ModelHandle,
    *,
    data: Path,
    holdout: Path | None,
    target: str | None,
    is_long: bool,
    decimals: int,
    seed: int,
    progress: Progress,
) -> Report:
    import numpy as np
    from threadpoolctl import threadpool_limits

    from secureml.models.assessment.assess import LONG, SHORT, NotAssessed
    from secureml.models.assessment.assess import assess as attack
    from secureml.models.assessment.table import pair, read_rows
    from secureml.models.sealing.table_file import TableFile

    training = read_rows(TableFile.load(data), handle.card, target)
    labelled = None
    if holdout is not None:
        labelled = pair(training, read_rows(TableFile.load(holdout), handle.card, target))
    try:
        # One thread: for matrices of this size more of them only wait for each other.
        with threadpool_limits(1):
            return attack(
                handle,
                training.rows,
                LONG if is_long else SHORT,
                np.random.default_rng(seed),
                decimals=decimals,
                labelled=labelled,
                progress=progress,
            )
    except NotAssessed as why:
        raise click.ClickException(
            f"model {handle.name} is not assessed: {why}; fix: give the whole training table "
            "with --data, of a classifier or regressor with one answer a row"
        ) from None


def _progress(as_json: bool) -> Progress:
    """Return what prints each part when it begins, to standard error; scripts read none."""
    begin = time.monotonic()

    def progress(part: str) -> None:
        if not as_json:
            click.echo(f"{time.monotonic() - begin:5.0f} s  {part}", err=True)

    return progress
