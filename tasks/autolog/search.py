"""Parameter searches of scikit-learn: the best params, every candidate in a table, the best ones as child runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..active import entered
from ..scope import Scope, closing, open_scope
from .recorder import Recorder
from .values import plain

__all__ = ["is_search", "log_search"]


def is_search(estimator: Any) -> bool:
    """Whether this tries candidates and picks one."""
    kind = cast("type[Any]", type(estimator))
    return hasattr(kind, "_run_search")  # what scikit-learn asks of searches that others write


def log_search(recorder: Recorder, search: Any) -> None:
    """Log what a search has found."""
    results: Mapping[str, Any] = search.cv_results_
    score = getattr(search, "best_score_", None)
    recorder.metrics({} if score is None else {"best_cv_score": score})
    recorder.params({f"best_{name}": value for name, value in getattr(search, "best_params_", {}).items()})
    rows = _rows(results)
    recorder.rows(rows, "cv_results")
    metric = search.refit if f"rank_test_{search.refit}" in results else "score"
    if f"rank_test_{metric}" in results:
        ranks = [int(rank) for rank in results[f"rank_test_{metric}"]]
        best = sorted(range(len(ranks)), key=ranks.__getitem__)[: recorder.options.candidates]
        for index in best:
            with recorder.going_on("a candidate"):
                _log_candidate(recorder, index, results["params"][index], rows[index])


def _rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = {name: plain(values) for name, values in results.items() if name != "params"}
    count = len(results["params"])
    return [{name: values[index] for name, values in columns.items()} for index in range(count)]


def _log_candidate(recorder: Recorder, index: int, params: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    with entered(recorder.run):
        run = open_scope(Scope(f"candidate-{index}", tags={"autolog.candidate": str(index)}))
    with closing(run):
        candidate = Recorder(run, f"{recorder.name} candidate {index}", recorder.options)
        candidate.params(params)
        candidate.metrics(
            {
                name: value
                for name, value in row.items()
                if isinstance(value, (int, float)) and not name.startswith(("param_", "split"))
            }
        )
