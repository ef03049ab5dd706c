"""What an evaluation has found, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Check", "Curve", "Difference", "Drawings", "Evaluation", "Importance", "Slice"]


@dataclass(frozen=True)
class Slice:
    """The part of the data in which a column has one value, or lies in one range.

    Attributes:
        column: The column, or the name that was given to the rows.
        value: The value or range, as text; empty for named rows.
        rows: How many rows it has.
        metrics: The metrics on these rows alone; NaN where they have no meaning there.
    """

    column: str
    value: str
    rows: int
    metrics: Mapping[str, float]

    @property
    def name(self) -> str:
        """The slice as people read it."""
        return f"{self.column} = {self.value}" if self.value else self.column


@dataclass(frozen=True)
class Importance:
    """How much worse the model gets when one column is shuffled.

    Attributes:
        mean: Mean loss of the metric over the repeats; what helps has a positive one, whatever the metric.
        std: Standard deviation over the repeats.
    """

    column: str
    mean: float
    std: float


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the same rows.

    Attributes:
        value: Of the model.
        baseline: Of the other model.
        low: Lower end of the interval of `value - baseline`, by paired bootstrap.
        high: Upper end of it.
        better: True where the whole interval favours the model, False where it favours the baseline, else None.
    """

    metric: str
    value: float
    baseline: float
    low: float
    high: float
    better: bool | None

    @property
    def difference(self) -> float:
        """`value - baseline`."""
        return self.value - self.baseline


@dataclass(frozen=True)
class Check:
    """A threshold, and whether the model meets it.

    Attributes:
        rule: As it was given, such as "rmse <= 0.8".
        value: What the model reaches.
        limit: What the rule asks for, worked out.
    """

    rule: str
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True)
class Curve:
    """A line of a figure; `x` and `y` have the same length."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Drawings:
    """What the figures show.

    Attributes:
        confusion: Counts of rows by true class, then by predicted class; empty for a regressor.
        roc: True over false positive rate; one curve, or one per class.
        precision_recall: Precision over recall, likewise.
        calibration: Observed share of the positive class over the predicted probability.
        predicted: Predicted over true values of a regressor.
        residuals: Predicted minus true value over the predicted one.
    """

    confusion: tuple[tuple[int, ...], ...] = ()
    roc: tuple[Curve, ...] = ()
    precision_recall: tuple[Curve, ...] = ()
    calibration: tuple[Curve, ...] = ()
    predicted: Curve | None = None
    residuals: Curve | None = None


@dataclass(frozen=True)
class Evaluation:
    """How a model does on data.

    Attributes:
        model: The model, as it was named.
        kind: classifier or regressor.
        rows: How many rows were scored.
        run_id: The run that has the metrics, figures and report among its records.
        metrics: By name.
        classes: The classes in the order of the confusion matrix; empty for a regressor.
        slices: The metrics on parts of the data.
        importance: Of the columns, most important first; empty where it was not asked for.
        importance_metric: The metric that it is measured by.
        baseline: The model that it is compared with, or None.
        comparison: The metrics of both.
        confidence: Of the intervals in `comparison`.
        checks: The thresholds.
        drawings: What the figures show.
    """

    model: str
    kind: str
    rows: int
    run_id: str
    metrics: Mapping[str, float]
    classes: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    importance: tuple[Importance, ...] = ()
    importance_metric: str = ""
    baseline: str | None = None
    comparison: tuple[Difference, ...] = ()
    confidence: float = 0.95
    checks: tuple[Check, ...] = ()
    drawings: Drawings = field(default_factory=Drawings, repr=False)

    @property
    def passed(self) -> bool:
        """Whether every threshold is met; true where none was given."""
        return all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Give everything but the figures, for `json.dumps`."""
        content = asdict(self)
        del content["drawings"]
        return {**content, "passed": self.passed}

    def _repr_markdown_(self) -> str:
        from .report import render_evaluation

        return render_evaluation(self).markdown
