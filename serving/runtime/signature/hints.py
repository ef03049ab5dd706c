"""Functions that say by a type hint that they take a list: they are given one, and not a DataFrame."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

__all__ = ["data_hint", "item_of"]

_LISTS = (list, Sequence)


def item_of(model: Any) -> Callable[[Any], Any] | None:
    """Give what makes an item of the list that a model's `predict`, or the model itself, is annotated to take.

    Pydantic models and dataclasses are made of dicts; None where the hint is no list.
    """
    hint = data_hint(model)
    if typing.get_origin(hint) not in _LISTS:
        return None
    return _maker((*typing.get_args(hint), Any)[0])


def data_hint(model: Any) -> Any:
    """Give the type hint of the data that a function, or an object with `predict`, takes; None where it has none."""
    method = getattr(model, "predict", None)
    call: Any = method if callable(method) else model
    if not inspect.isroutine(call):
        return None  # the class of the object says what its own call takes; nobody predicts by that
    names: list[str] = []
    try:
        names = [name for name in inspect.signature(call).parameters if name not in ("self", "context")]
        hints = typing.get_type_hints(call)
    except NameError:  # a class that did not travel with a pickled function
        hints = {name: _plain_list(hint) for name, hint in call.__annotations__.items()}
    except (TypeError, ValueError, AttributeError):
        return None
    return hints.get(names[0]) if names else None


def _plain_list(hint: Any) -> Any:
    return list[Any] if isinstance(hint, str) and hint.startswith(("list[", "List[", "Sequence[")) else None


def _maker(kind: Any) -> Callable[[Any], Any]:
    if isinstance(kind, type) and hasattr(kind, "model_validate"):
        return cast("Callable[[Any], Any]", cast("Any", kind).model_validate)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return lambda value: kind(**value) if isinstance(value, Mapping) else value
    return lambda value: value
