"""A model folder, opened: verified, then loaded by the first of its flavors that is known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from .flavors import LOADERS
from .manifest import verify
from .signature import Signature
from .sources import add_code

__all__ = ["Descriptor", "Opened", "open_model", "read_descriptor"]


@dataclass(frozen=True)
class Descriptor:
    """What an `MLmodel` file says.

    Attributes:
        flavors: Settings of each flavor by its name.
        example: Name of the file with the input example, or None.
    """

    flavors: Mapping[str, Mapping[str, Any]]
    signature: Signature | None
    run_id: str | None
    example: str | None

    @property
    def code(self) -> str | None:
        """Folder of the source files that travel with the model, or None."""
        return next((str(config["code"]) for config in self.flavors.values() if config.get("code")), None)


@dataclass(frozen=True)
class Opened:
    """A model in memory."""

    digest: str
    descriptor: Descriptor
    native: Any
    predict: Callable[[Any], Any]


def read_descriptor(folder: Path) -> Descriptor:
    """Read the `MLmodel` file of a folder; nothing is loaded.

    Raises:
        ValueError: There is none, or it cannot be read.
    """
    try:
        content = yaml.safe_load((folder / "MLmodel").read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"its MLmodel file cannot be read ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("flavors"), dict):  # pyright: ignore[reportUnknownMemberType]
        raise ValueError("its MLmodel file lists no flavors")
    entry = cast("dict[str, Any]", content)
    example: dict[str, Any] = entry.get("saved_input_example_info") or {}
    return Descriptor(
        entry["flavors"],
        Signature.from_mlmodel(entry.get("signature")),
        entry.get("run_id"),
        example.get("artifact_path"),
    )


def open_model(folder: Path, *, check: bool = True) -> Opened:
    """Verify a model folder against its manifest, then load it.

    Args:
        folder: The model.
        check: False for a folder that another tool wrote, which has no manifest; its digest is then empty.

    Raises:
        ManifestError: A file is changed, missing or not listed.
        ValueError: The folder is not a model, or none of its flavors is known.
    """
    digest = verify(folder) if check else ""
    descriptor = read_descriptor(folder)
    if descriptor.code:
        add_code(folder / descriptor.code)
    for name, load in LOADERS.items():
        if name in descriptor.flavors:
            native, predict = load(folder, descriptor.flavors[name])
            return Opened(digest, descriptor, native, predict)
    raise ValueError(f"its flavors ({', '.join(descriptor.flavors)}) are not known here")
