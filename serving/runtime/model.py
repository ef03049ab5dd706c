"""A model folder, opened: verified, then loaded by the first of its flavors that is known here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from .descriptor import Descriptor, read_descriptor
from .flavors import Loaded, flavor_in, settings_of
from .flavors.base import inside
from .manifest import files_in, verify
from .signature import Plan
from .signature.hints import item_of
from .sources import COMPANION, add_code

__all__ = ["Opened", "executes_on_load", "open_model"]


@dataclass(frozen=True)
class Opened:
    """A model in memory."""

    digest: str
    descriptor: Descriptor
    loaded: Loaded

    @cached_property
    def plan(self) -> Plan:
        """What is done with inputs before the model gets them."""
        hinted = set(self.descriptor.flavors) == {"python_function"}  # nobody annotates what a library makes
        return Plan(self.descriptor.signature, item_of(self.loaded.native) if hinted else None)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Hold data, or what was read of a request, against the signature, then predict for it.

        Raises:
            BadInput: It does not fit; whatever the model itself raises is passed on.
        """
        return self.loaded.predict(*self.plan.fit(data, params))


def open_model(folder: Path, *, check: bool = True) -> Opened:
    """Verify a model folder against its manifest, then load it.

    Args:
        folder: The model.
        check: False for a folder that was verified already, or that another tool wrote; its digest is then empty.

    Raises:
        ManifestError: A file is changed, missing or not listed.
        ValueError: The folder is not a model, or none of its flavors is known.
    """
    digest = verify(folder) if check else ""
    descriptor = read_descriptor(folder)
    if _modules(descriptor, files_in(folder)):
        add_code(inside(folder, descriptor.code))
    flavor = flavor_in(descriptor.flavors)
    return Opened(digest, descriptor, flavor.load(folder, settings_of(flavor, descriptor.flavors)))


def executes_on_load(folder: Path, *, names: Iterable[str] | None = None) -> tuple[str, ...]:
    """Name what of a model folder would run as code when it is loaded; empty where nothing would.

    Args:
        folder: The model, or a part of it that has its `MLmodel` file.
        names: The files of the whole model; those in the folder by default.

    Raises:
        ValueError: The folder is not a model, none of its flavors is known, or only files that are not here could tell.
    """
    descriptor = read_descriptor(folder)
    flavor = flavor_in(descriptor.flavors)
    found = flavor.executes(folder, settings_of(flavor, descriptor.flavors))
    # Modules beside a model come first on the import path, in the place of any library's.
    modules = _modules(descriptor, files_in(folder) if names is None else names)
    return (*found, *(f"the module {name}" for name in modules))


def _modules(descriptor: Descriptor, names: Iterable[str]) -> list[str]:
    """List what of a model's code folder can be imported; the loader that we put there for other tools is not used."""
    if not descriptor.code:
        return []
    code = PurePosixPath(descriptor.code)
    if code.is_absolute() or ".." in code.parts:
        raise ValueError(f"its file {descriptor.code!r} lies outside its folder")
    paths = [path.relative_to(code) for name in names if (path := PurePosixPath(name)).is_relative_to(code)]
    tops = {path.parts[0] for path in paths if path.parts}
    return [f"{descriptor.code}/{name}" for name in sorted(tops) if not name.startswith(COMPANION)]
