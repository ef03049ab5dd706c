"""What a model says of the data: labels or values, and probabilities where it gives them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import EvaluationError, ModelError
from .labels import check_labels, check_same, some

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

__all__ = ["Model", "Scored", "model_of", "score"]


@dataclass(frozen=True)
class Model:
    """A model as it is asked here.

    Attributes:
        name: As people named it.
        predict: From data to labels or values.
        probabilities: From data to one column per class, and those classes; None where the model gives none.
    """

    name: str
    predict: Callable[[Any], Any]
    probabilities: Callable[[Any], tuple[Any, Any]] | None


@dataclass(frozen=True)
class Scored:
    """Rows with what is true of them and what the model says.

    Attributes:
        kind: classifier or regressor.
        targets: True labels or values [rows].
        predictions: Of the model [rows].
        classes: Sorted labels of a classifier [classes]; empty for a regressor.
        probabilities: Of each class [rows, classes], in the order of `classes`; None where the model gives none.
        positive: The label that counts as positive where there are two classes, else None.
    """

    kind: str
    targets: Array
    predictions: Array
    classes: Array
    probabilities: Floats | None
    positive: Any = None

    @property
    def has(self) -> str:
        """What metrics can build on, in words."""
        if self.kind == "regressor":
            return "values"
        count = "binary" if len(self.classes) == 2 else "many"
        return f"{count} labels" if self.probabilities is None else f"{count} labels and probabilities"

    @functools.cached_property
    def is_positive(self) -> Array:
        """Whether each row is of the positive class [rows]."""
        return self.targets == self.positive

    @property
    def positive_scores(self) -> Floats:
        """Probability of the positive class [rows]."""
        assert self.probabilities is not None
        return self.probabilities[:, list(self.classes).index(self.positive)]

    def rows(self, which: Any) -> Scored:
        """Give some of the rows, by mask or by index."""
        few = None if self.probabilities is None else self.probabilities[which]
        return Scored(self.kind, self.targets[which], self.predictions[which], self.classes, few, self.positive)


def model_of(model: Any, *, trust: bool = False) -> Model:
    """Take a model by its URI, as it was loaded, or as the library's own object or a function.

    Raises:
        PrefectMLError: The URI leads to no model that can be loaded, or this is no model.
    """
    from ...serving import LoadedModel, load_model

    if isinstance(model, str):
        loaded = load_model(model, trust=trust)
        return Model(model, loaded.predict, _probabilities_of(loaded.native()))
    if isinstance(model, LoadedModel):
        return Model(repr(model), model.predict, _probabilities_of(model.native()))
    predict = getattr(model, "predict", None)
    call = predict if callable(predict) else model if callable(model) else None
    if call is None or isinstance(model, type):
        raise EvaluationError(f"{type(model).__name__} is no model; give a URI, an object with predict, or a function.")
    return Model(getattr(model, "__name__", type(model).__name__), call, _probabilities_of(model))


def score(model: Model, data: Any, targets: Array, *, kind: str, positive: Any = None) -> Scored:
    """Ask the model about every row.

    Raises:
        EvaluationError: The targets or answers are not of this kind, or are different kinds of labels.
        ModelError: It cannot score the data, or answers with something else than one label or value per row.
    """
    import numpy as np

    predictions: Array = np.asarray(_asked(model, model.predict, data))
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        predictions = predictions[:, 0]
    if kind == "regressor":
        _check_rows(model, predictions, targets, 1)
        values = _numbers("The targets are", targets)
        return Scored(kind, values, _numbers(f"{model.name} answers with", predictions), np.array([]), None)
    return _classified(model, data, targets, predictions, positive)


def _classified(model: Model, data: Any, targets: Array, predictions: Array, positive: Any) -> Scored:
    import numpy as np

    check_labels("The targets are", targets)
    if model.probabilities is not None:
        found, classes = map(np.asarray, _asked(model, model.probabilities, data))
        _check_rows(model, predictions, targets, 1)
        check_same(model.name, targets, predictions)
        if found.shape != (len(targets), len(classes)):
            raise ModelError(f"{model.name} gives probabilities of shape {found.shape} for {len(classes)} classes.")
        return _with_classes(targets, predictions, found, classes, positive)
    known: Array = np.unique(targets)
    if predictions.ndim == 2 and predictions.shape[1] == len(known) > 1:  # a network that gives one column per class
        labels: Array = known[predictions.argmax(axis=1)]
        return _with_classes(targets, labels, predictions, known, positive)
    _check_rows(model, predictions, targets, 1)
    if len(known) <= 2 and predictions.dtype.kind == "f" and not np.isin(predictions, known).all():
        return _thresholded(model, targets, predictions, known, positive)
    check_same(model.name, targets, predictions)
    classes = np.unique(np.concatenate([known, predictions]))
    return Scored("classifier", targets, predictions, classes, None, _positive(classes, positive))


def _thresholded(model: Model, targets: Array, scores: Array, known: Array, positive: Any) -> Scored:
    """Take numbers between 0 and 1 as the probability of the positive class."""
    import numpy as np

    if not ((scores >= 0) & (scores <= 1)).all() or len(known) < 2:
        raise EvaluationError(
            f"{model.name} answers with numbers that are no labels of the targets ({some(known)}) and no"
            " probabilities; for values, say kind='regressor'."
        )
    label = _positive(known, positive)
    other = known[known != label][0]
    ordered = np.column_stack([1 - scores, scores]) if known[1] == label else np.column_stack([scores, 1 - scores])
    labels: Array = np.array([other, label])[(scores >= 0.5).astype(np.int64)]
    return _with_classes(targets, labels, ordered, known, positive)


def _with_classes(targets: Array, predictions: Array, found: Array, classes: Array, positive: Any) -> Scored:
    """Put the columns in the order of all classes; one that only the targets have gets probability 0."""
    import numpy as np

    every = np.unique(np.concatenate([classes, targets, predictions]))
    probabilities = np.zeros((len(targets), len(every)))
    probabilities[:, np.searchsorted(every, classes)] = found
    return Scored("classifier", targets, predictions, every, probabilities, _positive(every, positive))


def _positive(classes: Array, given: Any) -> Any:
    if len(classes) > 2 and given is not None:
        raise EvaluationError(
            f"positive={given!r} is for two classes, and there are {len(classes)} here ({some(classes)}); leave it out."
        )
    if len(classes) != 2:
        return None
    if given is None:
        return classes[1]  # of 0 and 1, False and True, no and yes
    labels = classes.tolist()
    found = [label for label in labels if given == label or (isinstance(given, str) and given == str(label))]
    if not found:
        raise EvaluationError(
            f"positive={given!r} is no label of the data, which has {some(classes)}; give one of them."
        )
    return classes[labels.index(found[0])]


def _probabilities_of(native: Any) -> Callable[[Any], tuple[Any, Any]] | None:
    method, classes = getattr(native, "predict_proba", None), getattr(native, "classes_", None)
    if not callable(method) or classes is None:
        return None
    return lambda data: (method(data), classes)


def _asked(model: Model, call: Callable[[Any], Any], data: Any) -> Any:
    try:
        return call(data)
    except Exception as error:  # the model is anybody's code
        raise ModelError(f"{model.name} cannot score the data ({type(error).__name__}: {error}).") from error


def _check_rows(model: Model, found: Array, targets: Array, dimensions: int) -> None:
    if found.ndim != dimensions or len(found) != len(targets):
        raise ModelError(
            f"{model.name} answers with shape {found.shape} to {len(targets)} rows; it has to give one value per row."
        )


def _numbers(lead: str, found: Array) -> Floats:
    import numpy as np

    try:
        return found.astype(np.float64)
    except (TypeError, ValueError):
        raise EvaluationError(f"{lead} {some(found)}, no numbers; say kind='classifier'.") from None
