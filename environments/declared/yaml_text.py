"""YAML files whose values are read as they are written: `python: 3.10` is no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml

from ...errors import ProjectError

__all__ = ["list_of", "mapping_of", "read_yaml"]


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a mapping whose scalars are all text.

    Raises:
        ProjectError: The file cannot be read, or is something else.
    """
    try:
        return mapping_of(file.read_text(), origin=str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ProjectError(f"{file} cannot be read ({reason}).") from error


def mapping_of(text: str, *, origin: str) -> dict[str, Any]:
    """Read a mapping from text.

    Raises:
        ProjectError: It is something else.
    """
    try:
        whole: Any = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - this one makes text of everything
    except yaml.YAMLError as error:
        raise ProjectError(f"{origin} is not YAML ({' '.join(str(error).split())}); mend the file.") from error
    if not isinstance(whole, dict):
        raise ProjectError(f"{origin} must be a mapping of names to values.")
    return {str(key): value for key, value in cast("dict[Any, Any]", whole).items()}


def list_of(whole: dict[str, Any], name: str, *, origin: str) -> list[Any]:
    """Give a list of the file; empty where it is left out.

    Raises:
        ProjectError: It is something else.
    """
    value: Any = whole.get(name) or []
    if not isinstance(value, list):
        raise ProjectError(f"{origin}: {name} must be a list.")
    return cast("list[Any]", value)
