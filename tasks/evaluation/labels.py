"""Labels of a classifier: what can be told apart and compared."""

from __future__ import annotations

from typing import Any

from ...errors import EvaluationError

__all__ = ["check_labels", "check_same", "some"]


def check_labels(lead: str, values: Any) -> None:
    """See that these are labels of one kind [rows]; `lead` begins the sentence that is said where they are not.

    Raises:
        EvaluationError: They are numbers with fractions, or text and numbers together.
    """
    import numpy as np

    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise EvaluationError(f"{lead} {some(values)}, no labels of classes; for values, say kind='regressor'.")
    if values.dtype == object and len({isinstance(value, str) for value in values.tolist()}) > 1:
        raise EvaluationError(f"{lead} {some(values)}, text and other labels together; give labels of one type.")


def check_same(model: str, targets: Any, predictions: Any) -> None:
    """See that a model answers with labels that can be those of the targets.

    Raises:
        EvaluationError: One side is text and the other is not, or the answers are no labels.
    """
    check_labels(f"{model} answers with", predictions)
    if _is_text(targets) != _is_text(predictions):
        raise EvaluationError(
            f"The targets are {some(targets)}, and {model} answers with {some(predictions)}; give both the same labels."
        )


def some(values: Any) -> str:
    """Show the first different ones."""
    different = list(dict.fromkeys(map(repr, values.ravel()[:1000].tolist())))
    return ", ".join(different[:5]) + (", ..." if len(different) > 5 else "")


def _is_text(values: Any) -> bool:
    return values.dtype.kind == "U" or (values.dtype == object and isinstance(values[0], str))
