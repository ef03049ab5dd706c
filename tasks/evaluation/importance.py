"""Permutation importance: how much a metric loses when one column is shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...reports.evaluation import Importance
from .learn import of_sklearn, quietly
from .metrics import AnyMetric
from .scores import Model, score

if TYPE_CHECKING:
    from .scores import Scored

__all__ = ["importance_of"]

_ROWS = 5000
_COLUMNS = 200
_REPEATS = 5


def importance_of(model: Model, data: Any, scored: Scored, metric: AnyMetric, *, seed: int) -> tuple[Importance, ...]:
    """Shuffle each column five times, on at most 5,000 of the rows; most important first.

    Empty where the data is no table, or has over 200 columns.
    """
    import numpy as np

    names = [str(name) for name in getattr(data, "columns", range(np.shape(data)[1] if np.ndim(data) == 2 else 0))]
    if not names or len(names) > _COLUMNS:
        return ()
    sign = 1.0 if metric.greater_is_better else -1.0

    def scorer(_: Any, rows: Any, targets: Any) -> float:
        with quietly():
            return sign * metric.of(score(model, rows, targets, kind=scored.kind, positive=scored.positive))

    taken = np.random.default_rng(seed).permutation(len(scored.targets))[:_ROWS]
    few = data.iloc[taken] if hasattr(data, "iloc") else np.asarray(data)[taken]
    found = of_sklearn("inspection", "permutation_importance")(
        _Fitted(), few, scored.targets[taken], scoring=scorer, n_repeats=_REPEATS, random_state=seed
    )
    columns = zip(names, found.importances_mean.tolist(), found.importances_std.tolist(), strict=True)
    return tuple(sorted((Importance(*column) for column in columns), key=lambda one: -one.mean))


class _Fitted:
    """What scikit-learn takes for an estimator; the scorer asks the model itself."""

    def fit(self) -> None:
        """Nothing is fitted here."""
