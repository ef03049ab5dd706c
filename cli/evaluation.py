"""`prefect-ml models evaluate`: how a model does on data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .output import json_option, print_json, show_table

if TYPE_CHECKING:
    from ..reports.evaluation import Evaluation

__all__ = ["evaluate"]


@click.command("evaluate")
@click.argument("uri")
@click.argument("data", type=click.Path(dir_okay=False))
@click.option("--targets", required=True, metavar="COLUMN", help="The column that holds what is true.")
@click.option("--kind", required=True, type=click.Choice(["classifier", "regressor"]), help="What the model is.")
@click.option("--metric", "metrics", multiple=True, help="Measure this; repeatable; by default all that apply.")
@click.option("--baseline", metavar="URI", help="Another model to score on the same rows.")
@click.option(
    "--threshold", "thresholds", multiple=True, metavar="RULE", help='"rmse <= 0.8" or "f1 >= baseline"; repeatable.'
)
@click.option("--slice", "slices", multiple=True, metavar="COLUMN", help="Measure by this column as well; repeatable.")
@click.option("--positive", metavar="LABEL", help="The label that counts as positive where there are two.")
@click.option("--importance/--no-importance", default=True, help="Measure how much each column matters.")
@click.option("--trust", is_flag=True, help="Load a model that the store does not vouch for; it may run code.")
@json_option
def evaluate(  # noqa: PLR0913, PLR0917 - one for each option
    uri: str,
    data: str,
    targets: str,
    kind: str,
    metrics: tuple[str, ...],
    baseline: str | None,
    thresholds: tuple[str, ...],
    slices: tuple[str, ...],
    positive: str | None,
    importance: bool,
    trust: bool,
    as_json: bool,
) -> None:
    """Score the rows of the CSV or Parquet file DATA with the model URI, and measure what it gets right.

    What is found is kept with a run. Ends with 1 where a threshold is missed, and with 2 where the data or an option
    makes no sense.
    """
    from .. import evaluate as evaluate_model

    found = evaluate_model(
        uri,
        data,
        targets,
        kind=kind,
        metrics=metrics or None,
        baseline=baseline,
        thresholds=thresholds,
        slices=slices,
        positive=positive,
        importance=importance,
        trust=trust,
    )
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)
    sys.exit(0 if found.passed else 1)


def _show(found: Evaluation) -> None:
    beside = {one.metric: one for one in found.comparison}
    rows = [
        (name, value, *((beside[name].baseline, beside[name].difference) if name in beside else ()))
        for name, value in found.metrics.items()
    ]
    show_table(("Metric", "Value", *(("Baseline", "Difference") if beside else ())), rows, empty="")
    if found.checks:
        click.echo()
        shown = (("met" if check.passed else "missed", check.rule, check.value, check.limit) for check in found.checks)
        show_table(("Threshold", "Rule", "Value", "Limit"), shown, empty="")
    click.echo(f"\nThe report is with run {found.run_id}: prefect-ml artifacts list {found.run_id}")
