"""Thresholds: rules such as "rmse <= 0.8" that a model meets or misses."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...errors import EvaluationError
from ...reports.evaluation import Check

__all__ = ["Threshold", "checks_of", "read_thresholds"]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RULE = re.compile(
    rf"\s*(?P<metric>[\w.\-/: ]*[\w.\-/:])\s*(?P<sign>>=|<=|>|<)\s*"
    rf"(?:(?P<limit>{_NUMBER})|baseline(?:\s*(?P<change>[-+*])\s*(?P<by>{_NUMBER}))?)\s*"
)


@dataclass(frozen=True)
class Threshold:
    """One rule, read.

    Attributes:
        rule: As it was given.
        limit: The number, or None where the limit is the baseline's value, changed by `change` and `by`.
    """

    rule: str
    metric: str
    sign: str
    limit: float | None
    change: str = "+"
    by: float = 0.0

    def limit_for(self, baseline: Mapping[str, float]) -> float:
        """Work out the limit."""
        if self.limit is not None:
            return self.limit
        value = baseline[self.metric]
        return value * self.by if self.change == "*" else value + self.by if self.change == "+" else value - self.by


def read_thresholds(rules: Sequence[str], metrics: Sequence[str], *, with_baseline: bool) -> list[Threshold]:
    """Read rules before anything is scored.

    Raises:
        EvaluationError: A rule is none, names a metric that is not measured, or a baseline that is not given.
    """
    return [_read(rule, metrics, with_baseline=with_baseline) for rule in rules]


def checks_of(
    thresholds: Sequence[Threshold], metrics: Mapping[str, float], baseline: Mapping[str, float]
) -> tuple[Check, ...]:
    """Hold the metrics against the rules; NaN meets none."""
    found: list[Check] = []
    for one in thresholds:
        value, limit = metrics[one.metric], one.limit_for(baseline)
        passed = not math.isnan(value) and _COMPARE[one.sign](value, limit)
        found.append(Check(one.rule.strip(), value, limit, passed))
    return tuple(found)


def _read(rule: str, metrics: Sequence[str], *, with_baseline: bool) -> Threshold:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise EvaluationError(
            f"The threshold {rule!r} cannot be read; write for instance 'rmse <= 0.8' or 'f1 >= baseline + 0.01'."
        )
    metric = match["metric"]
    if metric not in metrics:
        raise EvaluationError(
            f"The threshold {rule!r} names no metric that is measured; those are {', '.join(metrics)}."
        )
    if match["limit"] is not None:
        return Threshold(rule, metric, match["sign"], float(match["limit"]))
    if not with_baseline:
        raise EvaluationError(f"The threshold {rule!r} needs another model to compare with; give it as baseline=.")
    return Threshold(rule, metric, match["sign"], None, match["change"] or "+", float(match["by"] or 0.0))
