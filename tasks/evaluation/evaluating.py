"""Evaluating a model: scored, measured, held against thresholds and another model, and recorded with the run."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ArtifactError, EvaluationError, ServiceError
from ...reports.evaluation import Check, Difference, Evaluation, draw_figures, render_evaluation
from ...store.artifacts import check_relative
from ..active import ActiveRun, current_run, innermost_prefect_run
from ..data.datasets import log_dataset
from ..log import log_dict, log_metrics, log_text, set_tag
from ..scope import start_run
from .beside import differences
from .data import rows_and_targets
from .drawings import drawings_of
from .importance import importance_of
from .learn import need_sklearn
from .metrics import KINDS, AnyMetric, Metric, chosen_metrics, measure
from .scores import Model, Scored, model_of, score
from .slices import slices_of
from .thresholds import Threshold, checks_of, read_thresholds

if TYPE_CHECKING:
    from ...store import Store

__all__ = ["evaluate"]

_log = logging.getLogger("prefect_ml")
_FOLDER = "evaluation"


def evaluate(  # noqa: PLR0913 - each is a word that users look for
    model: Any,
    data: Any,
    targets: Any,
    *,
    kind: str,
    metrics: Sequence[str | Metric | Callable[[Any, Any], float]] | None = None,
    baseline: Any = None,
    thresholds: Sequence[str] = (),
    slices: Sequence[str] | Mapping[str, Any] | None = None,
    importance: bool = True,
    positive: Any = None,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
    name: str = "",
    trust: bool = False,
    store: Store | None = None,
) -> Evaluation:
    """Evaluate a model on data, and record what is found with the current run, or with a run of its own.

    The run gets the metrics; figures, `evaluation.json` and a report as artifacts below `evaluation/`; and the data as
    a dataset of the role "evaluation". Inside a Prefect run the report is also on its Artifacts tab.

    Args:
        model: URI of a model, a loaded model, a library's own object, or a function.
        data: DataFrame, Arrow table, array, or the path of a CSV or Parquet file [rows, columns].
        targets: Name of the column with the true labels or values, or those [rows].
        kind: "classifier" or "regressor".
        metrics: Names, functions of (targets, predictions), or `Metric`s; all that the model allows by default.
        baseline: Another model to score on the same rows, as `model`.
        thresholds: Rules such as "rmse <= 0.8", "f1 >= baseline" or "accuracy >= baseline + 0.01".
        slices: Columns to measure by, or masks of rows [rows] by name.
        importance: Measure by shuffling how much each column matters to the first metric.
        positive: The label that counts as positive where there are two; the later one in order by default.
        resamples: How often rows are drawn for the intervals beside the baseline.
        confidence: Of these intervals, between 0 and 1.
        seed: Of everything drawn at random.
        name: Tells several evaluations of one run apart: metrics are `name/metric`, artifacts in `evaluation/name/`.
        trust: Load models that the store does not vouch for; loading may run the code in them.
        store: Another store than the one that the settings name.

    Raises:
        EvaluationError: The data or an argument makes no sense.
        ModelError: The model cannot score the data.
        PrefectMLError: The model's URI leads to nothing that can be loaded.
    """
    _check(kind, resamples, confidence, name)
    rows, truth = rows_and_targets(data, targets)
    candidate, other = model_of(model, trust=trust), None if baseline is None else model_of(baseline, trust=trust)
    question = _Question(rows, truth, kind, positive)
    scored = question.put_to(candidate)
    chosen = chosen_metrics(metrics, scored)
    rules = read_thresholds(thresholds, [one.name for one in chosen], with_baseline=other is not None)
    compared = _compared(chosen, scored, question, other, resamples=resamples, confidence=confidence, seed=seed)
    values = measure(chosen, scored)
    drawings = drawings_of(scored)
    with _run(candidate, store) as run:
        evaluation = Evaluation(
            model=candidate.name,
            kind=kind,
            rows=len(truth),
            run_id=run.id,
            metrics=values,
            classes=tuple(str(label) for label in scored.classes.tolist()),
            slices=slices_of(slices, rows, scored, chosen),
            importance=importance_of(candidate, rows, scored, chosen[0], seed=seed) if importance else (),
            importance_metric=chosen[0].name,
            baseline=None if other is None else other.name,
            comparison=compared,
            confidence=confidence,
            checks=_checks(rules, values, compared),
            drawings=drawings,
        )
        _record(evaluation, data, name=name, run=run)
    return evaluation


@dataclass(frozen=True)
class _Question:
    """What every model is asked."""

    rows: Any
    truth: Any
    kind: str
    positive: Any

    def put_to(self, model: Model) -> Scored:
        return score(model, self.rows, self.truth, kind=self.kind, positive=self.positive)


def _check(kind: str, resamples: int, confidence: float, name: str) -> None:
    need_sklearn()
    if kind not in KINDS:
        raise EvaluationError(f"kind={kind!r} is none; it is 'classifier' or 'regressor'.")
    if resamples < 1:
        raise EvaluationError(f"resamples={resamples} draws nothing; give 100 or more.")
    if not 0 < confidence < 1:
        raise EvaluationError(f"confidence={confidence} is none; give a share between 0 and 1, such as 0.95.")
    try:
        check_relative(name or _FOLDER)
    except ArtifactError as error:
        raise EvaluationError(
            f"name={name!r} is no folder of the evaluation; give a relative path without '..'."
        ) from error


def _compared(
    chosen: Sequence[AnyMetric], scored: Scored, question: _Question, other: Model | None, **options: Any
) -> tuple[Difference, ...]:
    if other is None:
        return ()
    theirs = question.put_to(other)
    has = {one.name for one in chosen_metrics(None, theirs)}
    both = [metric for metric in chosen if isinstance(metric, Metric) or metric.name in has]
    return differences(both, scored, theirs, **options)


def _checks(
    rules: Sequence[Threshold], values: Mapping[str, float], compared: Sequence[Difference]
) -> tuple[Check, ...]:
    baseline = {one.metric: one.baseline for one in compared}
    if missing := next((one for one in rules if one.limit is None and one.metric not in baseline), None):
        raise EvaluationError(
            f"The threshold {missing.rule!r} cannot be checked: the baseline has no {missing.metric}."
        )
    return checks_of(rules, values, baseline)


@contextmanager
def _run(model: Model, store: Store | None) -> Generator[ActiveRun]:
    if run := current_run():
        yield run
        return
    with start_run(name=f"evaluate {model.name}"[:200], store=store) as run:
        yield run


def _record(evaluation: Evaluation, data: Any, *, name: str, run: ActiveRun) -> None:
    folder = f"{_FOLDER}/{name}" if name else _FOLDER
    lead = f"{name}/" if name else ""
    finite = {f"{lead}{key}": value for key, value in evaluation.metrics.items() if not math.isnan(value)}
    log_metrics(finite, run=run)
    set_tag(f"{lead}evaluated_model", evaluation.model, run=run)
    log_dataset(data, role="evaluation", run=run)
    for figure, svg in draw_figures(evaluation).items():
        log_text(svg, f"{folder}/{figure}.svg", run=run)
    log_dict(evaluation.as_json(), f"{folder}/evaluation.json", run=run)
    report = render_evaluation(evaluation)
    log_text(report.markdown, f"{folder}/report.md", run=run)
    _publish(evaluation, report)


def _publish(evaluation: Evaluation, report: Any) -> None:
    prefect = innermost_prefect_run()
    if prefect is None:
        return
    from ...reports import publish_report

    task_run_id = None if prefect.id == prefect.flow_run_id else prefect.id
    what = f"the evaluation of {evaluation.model}"
    try:
        publish_report(report, what, flow_run_id=prefect.flow_run_id, task_run_id=task_run_id)
    except ServiceError as error:  # a report is no reason to lose an evaluation
        _log.warning("The report was not published: %s", error)
