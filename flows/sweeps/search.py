"""The search, by Optuna: in memory only, for everything that it knows can be told to it again from the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import ProjectError
from .plan import Plan
from .space import Choice, Dimension, Integers, LogUniform, grid_points

__all__ = ["Search"]

Points = Iterable[tuple[int, float]]


class Search:
    """Decides what trials try. Numbers are those of the sweep's trials, whatever Optuna calls them."""

    def __init__(self, plan: Plan, pruner: Any = None) -> None:
        """Begin with no trial.

        Args:
            plan: What the sweep is to do.
            pruner: An Optuna pruner of the caller's own.

        Raises:
            ProjectError: Optuna is not installed.
        """
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise ProjectError("Sweeps need Optuna: pip install 'prefect-ml[sweeps]'.") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna: Any = optuna
        self._plan = plan
        self._grid = grid_points(plan.space) if plan.method == "grid" else None
        self._distributions = {name: self._distribution(dimension) for name, dimension in plan.space.items()}
        self._study: Any = optuna.create_study(direction=plan.direction, pruner=self._pruner(pruner))
        self._open: dict[int, Any] = {}
        self._seen: dict[int, int] = {}

    def ask(self, number: int, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Give the params of a trial, which is open until it is told about.

        Args:
            number: The trial.
            params: Those that it has already, because it was begun before.
        """
        fixed = params or (self._grid[number] if self._grid else None)
        if fixed:
            self._study.enqueue_trial(dict(fixed))
        # A sampler for each trial: what it draws depends on the seed and the trial, however often a sweep was resumed.
        self._study.sampler = self._sampler(number)
        self._open[number] = self._study.ask(self._distributions)
        return dict(self._open[number].params)

    def tell(self, number: int, value: float | None, *, pruned: bool = False) -> None:
        """Say how an open trial has ended: with a value, pruned, or, without one, failed."""
        trial = self._open.pop(number)
        state = self._optuna.trial.TrialState
        if pruned:
            self._study.tell(trial, state=state.PRUNED)
        elif value is None:
            self._study.tell(trial, state=state.FAIL)
        else:
            self._study.tell(trial, value)

    def restore(self, params: Mapping[str, Any], value: float | None, points: Points, *, pruned: bool = False) -> None:
        """Tell about a trial that has ended before this search began."""
        state = self._optuna.trial.TrialState
        seen = dict(points)
        if pruned:
            kind, value = (state.PRUNED, seen[max(seen)]) if seen else (state.FAIL, None)
        else:
            kind = state.FAIL if value is None else state.COMPLETE
        made = self._optuna.trial.create_trial(
            params=dict(params), distributions=self._distributions, value=value, state=kind, intermediate_values=seen
        )
        self._study.add_trial(made)

    def is_hopeless(self, number: int) -> bool:
        """Whether an open trial should stop, given what it has reported so far."""
        return bool(self._open[number].should_prune())

    def report(self, number: int, points: Points) -> None:
        """Take all that an open trial has reported so far; what was known before is passed over."""
        trial = self._open[number]
        for step, value in points:
            if step > self._seen.get(number, -1):
                trial.report(value, step)
                self._seen[number] = step

    def _sampler(self, number: int) -> Any:
        text = f"{self._plan.seed}:{number}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        if self._plan.method == "tpe":
            return self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        return self._optuna.samplers.RandomSampler(seed=seed)

    def _pruner(self, own: Any) -> Any:
        pruners = self._optuna.pruners
        if own is not None and not isinstance(own, str):
            if not isinstance(own, pruners.BasePruner):
                raise ProjectError(f"A pruner is a name or one of Optuna's, not {type(own).__name__}.")
            return own
        known = {
            "median": pruners.MedianPruner,
            "halving": pruners.SuccessiveHalvingPruner,
            "hyperband": pruners.HyperbandPruner,
        }
        return known.get(self._plan.pruner, pruners.NopPruner)()

    def _distribution(self, dimension: Dimension) -> Any:
        kinds = self._optuna.distributions
        if isinstance(dimension, Choice):
            return kinds.CategoricalDistribution(dimension.values)
        if isinstance(dimension, Integers):
            low, step = dimension.low, dimension.step
            return kinds.IntDistribution(low, low + (dimension.high - low) // step * step, step=step)
        if isinstance(dimension, LogUniform):
            return kinds.FloatDistribution(dimension.low, dimension.high, log=True)
        points = dimension.points()
        high = points[-1] if points else dimension.high
        return kinds.FloatDistribution(dimension.low, high, step=dimension.step)
