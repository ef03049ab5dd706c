"""Flavors: how a model of one library becomes files. Their loading halves are in `serving.runtime.flavors`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ...errors import UnknownFlavor
from . import function, sklearn

__all__ = ["Flavor", "flavor_for"]


class Flavor(Protocol):
    """How models of one kind are saved.

    `matches` never imports a library: what is not imported yet cannot have made the model. `save` writes files to an
    existing folder and gives the entries of the `MLmodel` file's `flavors`; it is called once per folder.
    """

    @property
    def NAME(self) -> str:  # noqa: N802 - flavors are modules, and this is a constant of theirs
        """Name under which `MLmodel` lists it."""
        ...

    def matches(self, model: Any) -> bool:
        """Whether this flavor can save the model."""
        ...

    def save(self, model: Any, folder: Path) -> dict[str, dict[str, Any]]:
        """Write the model's files."""
        ...


_FLAVORS: tuple[Flavor, ...] = (sklearn, function)  # the first that matches is taken


def flavor_for(model: Any, name: str | None = None) -> Flavor:
    """Find the flavor by name, or by the model's type.

    Raises:
        UnknownFlavor: No flavor has this name, or none can save this model.
    """
    known = ", ".join(flavor.NAME for flavor in _FLAVORS)
    if name is not None:
        named = next((flavor for flavor in _FLAVORS if name == flavor.NAME), None)
        if named is None:
            raise UnknownFlavor(f"There is no flavor {name!r}; the flavors are {known}.")
        if not named.matches(model):
            raise UnknownFlavor(f"Flavor {name!r} cannot save {_kind(model)}; leave the flavor out, or choose another.")
        return named
    found = next((flavor for flavor in _FLAVORS if flavor.matches(model)), None)
    if found is None:
        raise UnknownFlavor(
            f"No flavor ({known}) can save {_kind(model)}; give a function, or an object with a predict method."
        )
    return found


def _kind(model: Any) -> str:
    return f"an object of type {type(model).__module__}.{type(model).__qualname__}"
