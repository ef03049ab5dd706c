"""The `MLmodel` file: what a model folder says of itself, read without loading anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from .signature import Signature

__all__ = ["DESCRIPTOR", "Descriptor", "read_descriptor"]

DESCRIPTOR = "MLmodel"
_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Descriptor:
    """What an `MLmodel` file says.

    Attributes:
        flavors: Settings of each flavor by its name.
        run_id: The run that made the model, or None.
        created: When, as text, in UTC; or None.
        example: `saved_input_example_info`: the file with the input example and its form; empty where there is none.
        metadata: What its maker wrote beside it.
    """

    flavors: Mapping[str, Mapping[str, Any]]
    signature: Signature | None = None
    run_id: str | None = None
    created: str | None = None
    example: Mapping[str, Any] = field(default_factory=dict[str, Any])
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def code(self) -> str | None:
        """Folder of the source files that travel with the model, or None."""
        return next((str(config["code"]) for config in self.flavors.values() if config.get("code")), None)


def read_descriptor(folder: Path) -> Descriptor:
    """Read the `MLmodel` file of a folder.

    Raises:
        ValueError: There is none, or it cannot be read.
    """
    content = _content(folder / DESCRIPTOR)
    return Descriptor(
        _flavors(content.get("flavors")),
        Signature.from_mlmodel(content.get("signature")),
        _text(content.get("run_id")),
        _text(content.get("utc_time_created")),
        _mapping(content, "saved_input_example_info"),
        _mapping(content, "metadata"),
    )


def _flavors(listed: Any) -> dict[str, dict[str, Any]]:
    found = cast("dict[Any, Any]", listed) if isinstance(listed, dict) else {}
    if not found or not all(isinstance(config, dict) for config in found.values()):
        raise ValueError("its MLmodel file lists no flavors")
    return {str(name): config for name, config in found.items()}


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"its MLmodel file has over {_MOST_BYTES} bytes")
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"its MLmodel file cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ValueError("its MLmodel file lists no flavors")
    return cast("dict[str, Any]", content)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value: Any = content.get(name) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} in its MLmodel file is no mapping")
    return cast("dict[str, Any]", value)
