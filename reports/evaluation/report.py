"""An evaluation as markdown, and its figures: pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

from ..markdown import image, table
from ..run.report import Report
from ..svg import Size
from ..text import markdown_text, number
from .plots import draw_bars, draw_lines, draw_matrix, draw_points
from .records import Check, Difference, Evaluation, Slice

__all__ = ["draw_figures", "render_evaluation"]

_SLICES = 60
_SLICE_METRICS = 8  # a wider table leaves the page
_CARD = Size(300, 220)
_CARD_WIDTH = 36
_HEADLINES = 4
_MARK = {True: "met", False: "**missed**"}


def render_evaluation(evaluation: Evaluation) -> Report:
    """Write an evaluation as markdown, with a short text for the card on the Artifacts tab."""
    figures = draw_figures(evaluation)
    sections = [
        f"# Evaluation of {markdown_text(evaluation.model)}",
        f"A {evaluation.kind} on {evaluation.rows} rows.{_verdict(evaluation)}",
        *_checks(evaluation.checks),
        *_metrics(evaluation),
        *_comparison(evaluation),
        *(["## Figures", *(image(name, svg) for name, svg in figures.items())] if figures else []),
        *_slices(evaluation),
        *_importance(evaluation),
    ]
    return Report(_description(evaluation), "\n\n".join(sections) + "\n")


def draw_figures(evaluation: Evaluation) -> dict[str, str]:
    """Draw the figures that this evaluation has; SVG by name."""
    return dict(_figures(evaluation))


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    drawn = evaluation.drawings
    if drawn.confusion:
        yield "confusion_matrix", draw_matrix("Confusion matrix", evaluation.classes, drawn.confusion)
    if drawn.roc:
        axes = ("False positive rate", "True positive rate")
        yield "roc_curve", draw_lines("ROC curve", drawn.roc, axes, diagonal="rising")
    if drawn.precision_recall:
        axes = ("Recall", "Precision")
        yield "precision_recall_curve", draw_lines("Precision-recall curve", drawn.precision_recall, axes)
    if drawn.calibration:
        axes = ("Predicted probability", "Observed share")
        yield "calibration_curve", draw_lines("Calibration", drawn.calibration, axes, diagonal="rising")
    if drawn.predicted:
        axes = ("True value", "Predicted value")
        yield "predicted_values", draw_points("Predicted values", drawn.predicted, axes, line="diagonal")
    if drawn.residuals:
        axes = ("Predicted value", "Predicted - true")
        yield "residuals", draw_points("Residuals", drawn.residuals, axes, line="zero")
    if evaluation.importance:
        yield "permutation_importance", draw_bars("Permutation importance", evaluation.importance)


def _verdict(evaluation: Evaluation) -> str:
    if not evaluation.checks:
        return ""
    failed = sum(not check.passed for check in evaluation.checks)
    return f" **{failed} of {len(evaluation.checks)} thresholds missed.**" if failed else " **All thresholds met.**"


def _checks(checks: tuple[Check, ...]) -> list[str]:
    if not checks:
        return []
    rows = [
        (_MARK[check.passed], markdown_text(check.rule), number(check.value), number(check.limit)) for check in checks
    ]
    return ["## Thresholds", table(("", "Rule", "Value", "Limit"), rows)]


def _metrics(evaluation: Evaluation) -> list[str]:
    if evaluation.comparison:
        return []  # the comparison shows them beside the baseline's
    rows = [(markdown_text(name), number(value)) for name, value in evaluation.metrics.items()]
    return ["## Metrics", table(("Metric", "Value"), rows)]


def _comparison(evaluation: Evaluation) -> list[str]:
    if not evaluation.comparison:
        return []
    interval = f"{evaluation.confidence:.0%} interval"
    rows = [
        (
            markdown_text(one.metric),
            number(one.value),
            number(one.baseline),
            number(one.difference, 4),
            f"{number(one.low, 3)} to {number(one.high, 3)}",
            _word(one),
        )
        for one in evaluation.comparison
    ]
    head = ("Metric", "Model", "Baseline", "Difference", interval, "")
    return [
        f"## Beside {markdown_text(evaluation.baseline or '')}",
        "Both scored the same rows; the intervals are of the difference, by paired bootstrap.",
        table(head, rows),
    ]


def _word(one: Difference) -> str:
    return {True: "better", False: "worse", None: "no clear difference"}[one.better]


def _slices(evaluation: Evaluation) -> list[str]:
    if not evaluation.slices:
        return []
    shown = evaluation.slices[:_SLICES]
    names = list(evaluation.metrics)[:_SLICE_METRICS]
    rows = [(_unbroken(one.name), str(one.rows), *(_cell(one, name) for name in names)) for one in shown]
    more = [*_left(evaluation.slices, shown, "slices"), *_left(evaluation.metrics, names, "metrics of each")]
    where = [f"And {' and '.join(more)}, which `evaluation.json` of run {evaluation.run_id} has."] if more else []
    return ["## Slices", table(("Slice", "Rows", *map(markdown_text, names)), rows), *where]


def _left(every: Sized, shown: Sized, what: str) -> list[str]:
    left = len(every) - len(shown)
    return [f"{left} more {what}"] if left else []


def _unbroken(text: str) -> str:
    return markdown_text(text, 60).replace(" ", "\u00a0")


def _cell(one: Slice, name: str) -> str:
    value = one.metrics.get(name, math.nan)
    return "" if math.isnan(value) else number(value, 4)


def _importance(evaluation: Evaluation) -> list[str]:
    if not evaluation.importance:
        return []
    rows = [
        (markdown_text(one.column, 60), number(one.mean, 4), number(one.std, 3))
        for one in evaluation.importance[:_SLICES]
    ]
    said = f"Loss of {markdown_text(evaluation.importance_metric)} when a column is shuffled."
    return ["## Permutation importance", said, table(("Column", "Mean", "Std"), rows)]


def _card_verdict(checks: tuple[Check, ...]) -> str:
    failed = sum(not check.passed for check in checks)
    return f" · {failed} of {len(checks)} thresholds missed" if failed else " · thresholds met" if checks else ""


def _description(evaluation: Evaluation) -> str:
    shown = list(evaluation.metrics.items())[:_HEADLINES]
    lines = [
        f"**Evaluation{_card_verdict(evaluation.checks)}**",
        markdown_text(evaluation.model, _CARD_WIDTH),
        *(f"{markdown_text(name, 30)} **{number(value, 4)}**" for name, value in shown),
        *(f"missed: {markdown_text(check.rule, _CARD_WIDTH - 8)}" for check in evaluation.checks if not check.passed),
    ]
    drawn = evaluation.drawings
    if drawn.roc:
        lines.append(image("ROC curve", draw_lines("ROC curve", drawn.roc, ("", ""), diagonal="rising", size=_CARD)))
    elif drawn.predicted:
        lines.append(
            image(
                "Predicted values",
                draw_points("Predicted values", drawn.predicted, ("", ""), line="diagonal", size=_CARD),
            )
        )
    return "\n\n".join(lines)
