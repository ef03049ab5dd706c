"""Choosing the flavor that saves a model."""

from __future__ import annotations

from typing import Any

from ...errors import UnknownFlavor
from ..runtime.flavors import Flavor, flavor_named, flavor_names, flavors

__all__ = ["flavor_for"]


def flavor_for(model: Any, name: str | None = None) -> Flavor:
    """Find the flavor by name, or by the model's type.

    Raises:
        UnknownFlavor: No flavor has this name, or none can save this model.
    """
    known = ", ".join(flavor_names())
    if name is not None:
        named = flavor_named(name)
        if named is None:
            raise UnknownFlavor(f"There is no flavor {name!r}; the flavors are {known}.")
        if not named.matches(model):
            raise UnknownFlavor(f"Flavor {name!r} cannot save {_kind(model)}; leave the flavor out, or choose another.")
        return named
    found = next((flavor for flavor in flavors() if flavor.matches(model)), None)
    if found is None:
        raise UnknownFlavor(
            f"No flavor ({known}) can save {_kind(model)}; give a function, or an object with a predict method."
        )
    return found


def _kind(model: Any) -> str:
    return f"an object of type {type(model).__module__}.{type(model).__qualname__}"
