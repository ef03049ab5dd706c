"""Sweeps on the command line: a project run with many parameters."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import click

from .output import json_option, pairs, print_json, show_pairs, text_of

if TYPE_CHECKING:
    from ..flows.sweeps import SweepResult

__all__ = ["sweep"]

_METHODS = click.Choice(["tpe", "random", "grid"])
_PRUNERS = click.Choice(["median", "halving", "hyperband"])
_KINDS = click.Choice(["uv", "conda", "docker", "system"])
_RANGE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+)(?::(?P<how>.+))?")


def _space(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any] | None:
    """Read the space of a sweep: a callback of click."""
    return {name: _dimension(name, text) for name, text in pairs(context, parameter, values).items()} or None


@click.command()
@click.argument("uri")
@click.option("--entry-point", "-e", default="main", show_default=True, help="An entry point, a flow, or a script.")
@click.option(
    "--space", "-S", multiple=True, callback=_space, metavar="KEY=VALUES",
    help="What to try for a parameter: `0.1..0.9` (`0..1:0.25` in steps, `1e-5..1:log` by magnitude), `1..8`, or"
    " `adam,sgd`; repeatable.",
)  # fmt: skip
@click.option("--objective", metavar="METRIC", help='The metric that counts.  [default: "objective"]')
@click.option("--maximize", "direction", flag_value="maximize", help="Look for its greatest value, not the least.")
@click.option("--method", type=_METHODS, help="How to search.  [default: tpe]")
@click.option("--trials", type=click.IntRange(min=1), help="How many to make.  [default: 20, or the whole grid]")
@click.option("--parallel", type=click.IntRange(min=1), default=1, show_default=True, help="How many run at once.")
@click.option("--seed", type=int, help="What random choices begin with.")
@click.option("--pruner", type=_PRUNERS, help="Stop trials early that do badly.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds after which no trial is begun.")
@click.option("--max-failures", type=click.IntRange(min=0), help="How many trials may fail.  [default: any number]")
@click.option("--version", "-v", help="Git commit, tag or branch of the project.")
@click.option("--environment", type=_KINDS, help="Kind of environment; what the project declares by default.")
@click.option("--experiment", help="Experiment of the runs.")
@click.option("--name", help="Name of the sweep.")
@click.option("--resume", metavar="ID", help="Go on with this sweep; what is left out stays as it was.")
@json_option
def sweep(uri: str, resume: str | None, as_json: bool, **options: Any) -> None:
    """Run the project at URI with many parameters, and find those that do best."""
    from .. import sweep as search
    from .run_ids import find_run

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the sweep ends as Cancelled, and can be resumed
    found = search(uri, resume=resume and find_run(resume).id, **options)
    print_json(_record(found)) if as_json else _show(found)


def _dimension(name: str, text: str) -> Any:
    """Make of `0.1..0.9`, `1..8` or `a,b` what the library takes.

    Raises:
        click.BadParameter: It is none of these.
    """
    if "," in text or ".." not in text:
        return [_value(name, one) for one in text.split(",")]
    match = _RANGE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{name}={text} is no range; write 0.1..0.9, 0..1:0.25, 1e-5..1:log or 1..8.")
    from ..flows.sweeps import integers, loguniform, uniform

    low, high = _number(name, match["low"]), _number(name, match["high"])
    if match["how"] == "log":
        return loguniform(low, high)
    step = () if match["how"] is None else (_number(name, match["how"]),)
    whole = all(type(number) is int for number in (low, high, *step))
    return integers(low, high, *step) if whole else uniform(low, high, *step)  # pyright: ignore[reportArgumentType]


def _number(name: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise click.BadParameter(f"{text!r} in the range of {name} is no number; list texts with commas: {name}=a,b.")


def _value(name: str, text: str) -> int | float | str:
    """Read a number where that changes nothing about how it is written."""
    if not text:
        raise click.BadParameter(f"{name} lists an empty value; put one value between two commas.")
    for kind in (int, float):
        try:
            if str(value := kind(text)) == text:
                return value
        except ValueError:
            continue
    return text


def _record(found: SweepResult) -> dict[str, Any]:
    from ..store import as_json as record

    best = found.best and record(found.best)
    return {**vars(found), "best": best, "trials": [record(run) for run in found.trials]}


def _show(found: SweepResult) -> None:
    show_pairs(
        {
            "Sweep": found.run_id,
            "Trials": ", ".join(f"{count} {how}" for how, count in found.counts.items() if count) or "none",
            f"Best {found.objective}": found.best_value,
            "Params": "\n".join(f"{name} = {text_of(value)}" for name, value in found.best_params.items()),
            "Run": found.best and found.best.id,
        }
    )
