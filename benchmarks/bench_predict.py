"""What `predict` costs through the signature, beside MLflow's own checks on the same model in the same run."""

from __future__ import annotations

from typing import Any

from children import ours, peers
from rows import Row, as_markdown

_FORMS = {"frame": "DataFrame", "array": "numpy array"}


def measure() -> list[Row]:
    """Predict for one row and for a million, as a DataFrame and as an array of 10 columns."""
    own = ours("", script="predict_ours.py")
    peer: dict[str, Any] = peers("", script="predict_mlflow.py") or {}
    return [row for form in _FORMS for row in _rows(form, own, peer)]


def _rows(form: str, own: dict[str, Any], peer: dict[str, Any]) -> list[Row]:
    word = _FORMS[form]
    one, other = own[f"{form} row"], peer.get(f"{form} row")
    many, more = own[f"{form} million"], peer.get(f"{form} million")
    return [
        Row(f"`predict` on one row, {word}, beyond the model's own time", one[0] * 1e6, "µs", "150 µs",
            None if other is None else other[0] * 1e6),
        Row(f"1 M rows of 10 columns, to the {many[1] * 1000:.0f} ms of a linear regression", 100 * many[0] / many[1],
            "%", "5 %", None if more is None else 100 * more[0] / more[1]),
    ]  # fmt: skip


if __name__ == "__main__":
    print(as_markdown(measure()))
