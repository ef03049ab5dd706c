"""Writing what a training shows into its run. Nothing here raises: what is refused becomes a warning that names it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...errors import ParamConflict, PrefectMLError, UnknownFlavor
from ..active import ActiveRun
from ..log import log_dict, log_metric, log_metrics, log_param, log_params, log_series, log_text, set_tags
from ..models import log_model
from .values import plain, text_of

__all__ = ["Options", "Recorder", "going_on"]

_log = logging.getLogger("prefect_ml")


@dataclass(frozen=True)
class Options:
    """What is recorded.

    Attributes:
        log_models: Whether models are.
        candidates: How many candidates of a parameter search get a run of their own.
    """

    log_models: bool = True
    candidates: int = 5


@contextmanager
def going_on(what: str) -> Generator[None]:
    """Turn an error of the body into one warning."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the user's training must go on
        _log.warning("autolog did not record %s (%s: %s)", what, type(error).__name__, error)


class Recorder:
    """The run of one training."""

    def __init__(self, run: ActiveRun, name: str, options: Options) -> None:
        self.run = run
        self.name = name
        self.options = options
        self._warned: set[str] = set()

    @contextmanager
    def going_on(self, what: str) -> Generator[None]:
        """Turn an error of the body into a warning, once per training and `what`."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the user's training must go on
            if what not in self._warned:
                self._warned.add(what)
                kind = "" if isinstance(error, PrefectMLError) else f"{type(error).__name__}: "
                _log.warning(
                    "autolog did not record %s of %s in run %s (%s%s)", what, self.name, self.run.id, kind, error
                )

    def params(self, values: Mapping[str, Any]) -> None:
        """Log params. One whose name already has another value is logged as `<training>.<name>`."""
        texts: dict[str, str] = {}
        for name, value in values.items():
            with self.going_on(f"param {name!r}"):
                texts[str(name)] = text_of(value)
        try:
            log_params(texts, run=self.run)
        except Exception:  # noqa: BLE001 - all or none: the loop names the one that was refused, and keeps the others
            for name, text in texts.items():
                self._param(name, text)

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics at one step."""
        if not values:
            return
        try:
            log_metrics(values, step=step, run=self.run)
        except Exception:  # noqa: BLE001 - the loop names the one that was refused, and keeps the others
            for name, value in values.items():
                with self.going_on(f"metric {name!r}"):
                    log_metric(name, value, step=step, run=self.run)

    def curve(self, name: str, values: Iterable[Any]) -> None:
        """Log a metric that was collected over the iterations."""
        with self.going_on(f"metric {name!r}"):
            listed = list(values)
            log_series(name, listed, steps=range(len(listed)), run=self.run)

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags."""
        with self.going_on("the tags"):
            set_tags(values, run=self.run)

    def document(self, value: Any, to: str) -> None:
        """Write a dict or list as a JSON artifact."""
        with self.going_on(f"artifact {to!r}"):
            log_dict(plain(value), to, run=self.run)

    def rows(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Write a table as an artifact."""
        self.document(rows, f"{name}.json")

    def text(self, text: str, to: str) -> None:
        """Write a text as an artifact."""
        with self.going_on(f"artifact {to!r}"):
            log_text(text, to, run=self.run)

    def model(self, model: Any, example: Any = None) -> None:
        """Log the model, if a flavor knows its library; it is not pickled as just any object."""
        if not self.options.log_models:
            return
        from ...serving.models import flavor_for

        with self.going_on("the model"):
            flavor = flavor_for(model).NAME
            if flavor == "python_function":
                kind = f"{type(model).__module__}.{type(model).__qualname__}"
                raise UnknownFlavor(
                    f"no flavor is made for {kind}; log it in a way of your own, or say log_models=False"
                )
            self._model(model, flavor, example)

    def _model(self, model: Any, flavor: str, example: Any) -> None:
        try:
            log_model(model, "model", example=example, flavor=flavor, run=self.run)
        except Exception:
            if example is None:
                raise
            log_model(model, "model", flavor=flavor, run=self.run)
            with self.going_on("the input example of the model"):
                raise

    def _param(self, name: str, text: str) -> None:
        with self.going_on(f"param {name!r}"):
            try:
                log_param(name, text, run=self.run)
            except ParamConflict:
                log_param(f"{self.name}.{name}", text, run=self.run)
