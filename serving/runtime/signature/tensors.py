"""Arrays, held against the tensors of a signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..errors import BadInput, Mismatch
from ..protocol import Named, Records, Table, Tensors
from .casting import exact, first_lost
from .cells import Unfit, as_mapping, reader
from .fields import Tensor
from .sentences import listed, shown
from .tables import is_frame

__all__ = ["TensorFit", "TensorsPlan"]


class TensorFit:
    """Fits data to one tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._dtype = np.dtype(tensor.dtype)
        self._shape = tensor.shape
        self._named = "input" if tensor.name is None else f"tensor {tensor.name!r}"

    def array(self, data: Any) -> Any:
        """Give the array that the model takes: the data itself, where it fits as it is.

        Raises:
            BadInput: It does not fit.
        """
        if isinstance(data, np.ndarray):
            return self._shaped(self._typed(cast("Any", data)))
        if hasattr(data, "toarray") and hasattr(data, "nnz"):  # a sparse matrix, which stays one
            values = self._typed(data.data)
            return self._shaped(data if values is data.data else data.astype(self._dtype))
        return self._shaped(self._plain(_listed(data)))

    def _typed(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if array.dtype == self._dtype:
            return array
        if array.dtype.kind == "O" and self._dtype.kind != "O":
            return self._plain(array.tolist())
        if array.size == 0:
            return array.astype(self._dtype)
        fitted = exact(array, self._dtype)
        if fitted is None:
            lost = first_lost(array, self._dtype)
            found = f"{array.dtype} values" if lost is None else f"{array.dtype} values such as {lost!r}"
            raise self._mismatch(self._dtype.name, found)
        return fitted

    def _plain(self, data: Any) -> npt.NDArray[Any]:
        """Make an array of lists, whose numbers carry no type: they are read as what the tensor is."""
        if isinstance(data, np.ndarray):
            return self._typed(cast("Any", data))
        if self._dtype.kind in "MSO":
            return self._of_objects(data)
        try:
            array = np.asarray(data)
        except (ValueError, OverflowError) as error:
            raise BadInput(
                f"The rows of the {self._named} differ in length or depth; give each the same shape."
            ) from error
        if array.dtype == object and self._dtype.kind == "f":
            array = self._with_nulls(array)
        if array.dtype == object:
            raise BadInput(f"The {self._named} holds nulls, objects or numbers out of range; give plain values.")
        if self._dtype.kind in "fc" and array.dtype.kind in "iuf":
            return self._rounded(array)
        return self._typed(array)

    def _of_objects(self, data: Any) -> npt.NDArray[Any]:
        if self._dtype.kind == "M":
            try:
                return np.array(_each(reader("datetime", wire=True), data), dtype=self._dtype)
            except Unfit as error:
                raise self._mismatch(self._dtype.name, shown(error.found)) from None
        try:
            return np.array(data, dtype=self._dtype)
        except (ValueError, TypeError) as error:
            raise BadInput(f"The {self._named} is no array of {self._dtype.name}; give plain values.") from error

    def _with_nulls(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # JSON has no NaN; null stands for it.
        flat = [float("nan") if value is None else value for value in array.ravel().tolist()]
        if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in flat):
            return array
        try:
            return np.array(flat, dtype=np.float64).reshape(array.shape)
        except OverflowError:
            return array

    def _rounded(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with np.errstate(over="ignore"):
            result = array.astype(self._dtype)
        if not np.array_equal(np.isinf(result), np.isinf(array)):
            raise self._mismatch(self._dtype.name, "numbers out of its range")
        return result

    def _shaped(self, array: Any) -> Any:
        given, wanted = array.shape, self._shape
        if len(given) < len(wanted) and 0 in given and isinstance(array, np.ndarray):
            # Nested lists that are empty do not say how deep they would have been.
            given = (*given, *(max(size, 0) for size in wanted[len(given) :]))
            array = cast("Any", array).reshape(given)
        if len(given) != len(wanted) or any(want not in (-1, have) for want, have in zip(wanted, given, strict=True)):
            text = f"The {self._named} has shape {given}, but this model takes {wanted}, where -1 is any size."
            raise Mismatch(text, self.tensor.name or "", f"shape {wanted}", f"shape {given}")
        return array

    def _mismatch(self, expected: str, found: str) -> Mismatch:
        text = f"The {self._named} is {expected}, but {found} were given; a value that would change is not converted."
        return Mismatch(text, self.tensor.name or "", expected, found)


class TensorsPlan:
    """What a signature of tensors takes: one array, or a dict of arrays by name."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._fits = [TensorFit(tensor) for tensor in tensors]
        self._names = [tensor.name for tensor in tensors]

    def arrays(self, data: Any) -> Any:
        """Give what the model takes.

        Raises:
            BadInput: The data does not fit.
        """
        if self._names == [None]:
            return self._fits[0].array(_without_names(data))
        given = _by_name(data)
        if given is None:
            raise BadInput(f"This model takes arrays by name: {listed(map(str, self._names))}; give a dict of them.")
        return {str(name): self._one(fit, str(name), given) for fit, name in zip(self._fits, self._names, strict=True)}

    def _one(self, fit: TensorFit, name: str, given: Mapping[str, Any]) -> Any:
        if name not in given:
            text = f"The tensor {name!r} is missing; this model takes {listed(map(str, self._names))}."
            raise Mismatch(text, name, fit.tensor.dtype, "nothing")
        return fit.array(given[name])


def _without_names(data: Any) -> Any:
    if isinstance(data, Tensors):
        return data.data
    if isinstance(data, Table):
        return _numbers(data) if data.textual else data.rows
    if isinstance(data, Records):
        return [list(row.values()) for row in data.rows]
    if isinstance(data, Named):
        return [list(row) for row in zip(*_equally_long(data.values), strict=True)]
    return data


def _equally_long(columns: Mapping[str, Any]) -> list[Any]:
    values = list(columns.values())
    if not all(isinstance(cells, list) for cells in values) or len({len(cells) for cells in values}) > 1:
        raise BadInput("The columns of 'inputs' differ in length or are no lists; give each the same number of values.")
    return values


def _numbers(table: Table) -> list[list[float]]:
    try:
        return [[float(cell) for cell in row] for row in table.rows]
    except ValueError as error:
        raise BadInput(f"A value of the CSV body is not a number ({error}); this model takes numbers only.") from error


def _by_name(data: Any) -> Mapping[str, Any] | None:
    if isinstance(data, Named):
        return data.values
    if isinstance(data, Records):
        return _stacked(data.rows)
    if isinstance(data, Table):
        return {name: [row[place] for row in data.rows] for place, name in enumerate(data.columns or ())}
    if isinstance(data, list):
        rows = [as_mapping(row) for row in cast("list[Any]", data)]
        return _stacked(cast("list[Mapping[str, Any]]", rows)) if rows and None not in rows else None
    return as_mapping(data) or _of_table(data)


def _of_table(data: Any) -> Mapping[str, Any] | None:
    if is_frame(data) or is_frame(data, library="polars"):
        return {str(name): data[name].to_list() for name in data.columns}
    if is_frame(data, "Table", "pyarrow"):
        return {name: data[name].to_pylist() for name in data.column_names}
    return None


def _stacked(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = {name for row in rows for name in row}
    return {name: [row.get(name) for row in rows] for name in names}


def _listed(data: Any) -> Any:
    if is_frame(data) or is_frame(data, "Series") or is_frame(data, library="polars"):
        return data.to_numpy()
    if is_frame(data, "Table", "pyarrow"):
        return data.to_pandas().to_numpy()
    if isinstance(data, Mapping):
        raise BadInput("This model takes one array; give that, not a dict.")
    return data


def _each(read: Any, data: Any) -> Any:
    return [_each(read, one) for one in cast("list[Any]", data)] if isinstance(data, list) else read(data)
