"""What a sweep is to do: decided once, kept as the params of its run, and read from there when it is resumed."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from ...errors import ProjectError
from ...store import Run, child_id
from .space import Space, grid_points, read_space

__all__ = ["METHODS", "PRUNERS", "Asked", "Direction", "Method", "Plan", "make_plan", "plan_of", "trial_id"]

Method = Literal["tpe", "random", "grid"]
Direction = Literal["minimize", "maximize"]
METHODS = ("tpe", "random", "grid")
DIRECTIONS = ("minimize", "maximize")
PRUNERS = ("median", "halving", "hyperband")
_TRIALS = 20
_OWN = "own"


@dataclass(frozen=True)
class Asked:
    """What a caller says about a sweep; None means that it says nothing."""

    space: Mapping[str, Any] | None = None
    method: str | None = None
    trials: int | None = None
    objective: str | None = None
    direction: str | None = None
    seed: int | None = None
    pruner: Any = None


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        space: What it searches.
        method: How: tpe, random or grid.
        trials: How many trials it makes.
        objective: Name of the metric that it looks at.
        direction: minimize or maximize.
        seed: What its random choices begin with.
        pruner: What stops trials that do badly: a name, "own" for the caller's own, or none at all.
    """

    space: Space
    method: Method
    trials: int
    objective: str
    direction: Direction
    seed: int
    pruner: str

    def as_params(self) -> dict[str, str]:
        """Give it as params of the sweep's run."""
        return {
            "method": self.method,
            "trials": str(self.trials),
            "space": json.dumps({name: dimension.as_json() for name, dimension in self.space.items()}),
            "objective": self.objective,
            "direction": self.direction,
            "seed": str(self.seed),
            "pruner": self.pruner,
        }

    def read_params(self, params: Mapping[str, str]) -> dict[str, Any] | None:
        """Give the values that a trial's params stand for, or None where it died before it had any."""
        if not set(self.space) <= set(params):
            return None
        return {name: dimension.read(params[name]) for name, dimension in self.space.items()}


def trial_id(sweep_id: str, number: int) -> str:
    """Give the id of a trial's run: the same whenever and wherever it runs."""
    return child_id(sweep_id, "trial", number)


def make_plan(asked: Asked) -> Plan:
    """Decide what a new sweep does.

    Raises:
        ProjectError: Something is missing or cannot be.
    """
    if asked.space is None:
        raise ProjectError("A sweep needs a space, unless it resumes another.")
    space = read_space(asked.space)
    method = cast("Method", _one_of("method", asked.method or "tpe", METHODS))
    direction = cast("Direction", _one_of("direction", asked.direction or "minimize", DIRECTIONS))
    if asked.trials is not None and (type(asked.trials) is not int or asked.trials < 1):
        raise ProjectError(f"trials must be a whole number of 1 or more, not {asked.trials!r}.")
    trials = asked.trials or _TRIALS
    if method == "grid":
        trials = min(asked.trials or len(grid_points(space)), len(grid_points(space)))
    objective = (asked.objective or "objective").removeprefix("metrics.")
    seed = random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed
    return Plan(space, method, trials, objective, direction, seed, _pruner_word(asked.pruner))


def plan_of(run: Run, asked: Asked) -> Plan:
    """Read the plan of a sweep that is resumed, and refuse another one.

    Raises:
        ProjectError: The run is no sweep, or the caller asks for something else than it did.
    """
    params = run.params
    try:
        space = read_space(json.loads(params["space"]))
        method, direction = cast("Method", params["method"]), cast("Direction", params["direction"])
        plan = Plan(
            space, method, int(params["trials"]), params["objective"], direction, int(params["seed"]), params["pruner"]
        )
    except (KeyError, ValueError) as error:
        raise ProjectError(f"Run {run.id} is no sweep, so it cannot be resumed as one.") from error
    for name, now, then in _differences(asked, plan):
        raise ProjectError(f"Sweep {run.id} has {name} {then}, not {now}; leave {name} out, or begin another sweep.")
    return plan


def _differences(asked: Asked, plan: Plan) -> list[tuple[str, Any, Any]]:
    objective = asked.objective and asked.objective.removeprefix("metrics.")
    given = {
        "space": None if asked.space is None else read_space(asked.space),
        "method": asked.method,
        "trials": asked.trials,
        "objective": objective,
        "direction": asked.direction,
        "seed": asked.seed,
        "pruner": None if asked.pruner is None else _pruner_word(asked.pruner),
    }
    then = {name: getattr(plan, name) for name in given}
    if plan.method == "grid":  # more trials were asked for than it has points, and may be again
        given["trials"] = None
    if plan.pruner == _OWN and asked.pruner is None:
        raise ProjectError("The sweep was begun with a pruner of your own; give pruner= again to resume it.")
    return [(name, now, then[name]) for name, now in given.items() if now is not None and now != then[name]]


def _one_of(what: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise ProjectError(f"There is no {what} {given!r}; use {', '.join(known[:-1])} or {known[-1]}.")
    return given


def _pruner_word(pruner: Any) -> str:
    if pruner is None:
        return "none"
    return _one_of("pruner", pruner, PRUNERS) if isinstance(pruner, str) else _OWN
