"""The `MLmodel` file: what a model folder says of itself, read without loading anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from .signature import Signature

__all__ = ["DESCRIPTOR", "Descriptor", "descriptor_content", "read_descriptor"]

DESCRIPTOR = "MLmodel"
_MOST_BYTES = 16 * 2**20
_MOST_NODES = 1_000_000  # with what each alias stands for
_MOST_DIGITS = 1000
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# The constructors of YAML's own types expect texts of the right form where a tag names the type.
_WRONG = (
    OSError,
    UnicodeDecodeError,
    RecursionError,
    yaml.YAMLError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
)


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
    content = descriptor_content(folder)
    return Descriptor(
        _flavors(content.get("flavors")),
        Signature.from_mlmodel(content.get("signature")),
        _text(content.get("run_id")),
        _text(content.get("utc_time_created")),
        _mapping(content, "saved_input_example_info"),
        _mapping(content, "metadata"),
    )


def descriptor_content(folder: Path) -> dict[str, Any]:
    """Give what the `MLmodel` file of a folder holds.

    Raises:
        ValueError: There is none, or it cannot be read.
    """
    path = folder / DESCRIPTOR
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"its MLmodel file has over {_MOST_BYTES} bytes")
        content = _parsed(path.read_bytes().decode())
    except _WRONG as error:
        raise ValueError(f"its MLmodel file cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ValueError("its MLmodel file lists no flavors")
    return cast("dict[str, Any]", content)


def _flavors(listed: Any) -> dict[str, dict[str, Any]]:
    found = cast("dict[Any, Any]", listed) if isinstance(listed, dict) else {}
    if not found or not all(isinstance(config, dict) for config in found.values()):
        raise ValueError("its MLmodel file lists no flavors")
    return {str(name): config for name, config in found.items()}


def _parsed(text: str) -> Any:
    loader: Any = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """See that a document is of an ordinary size when each alias is replaced by what it stands for."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        key = id(node)
        if key in sizes:
            if (known := sizes[key]) is None:
                raise ValueError("its MLmodel file has an alias within what it stands for")
            return known
        sizes[key] = None
        sizes[key] = total = 1 + sum(map(size, _children(node)))
        if total > _MOST_NODES:
            raise ValueError("its MLmodel file has too many aliases")
        return total

    size(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((value for (_, value), count in Counter(keys).items() if count > 1), None):
            raise ValueError(f"its MLmodel file has {twice!r} twice in one mapping")
        return [one for pair in node.value for one in pair]
    if node.tag in _NUMBERS and len(node.value) > _MOST_DIGITS:
        raise ValueError("its MLmodel file has a number that is too long")
    return cast("list[yaml.Node]", node.value) if isinstance(node, yaml.SequenceNode) else []


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value: Any = content.get(name) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} in its MLmodel file is no mapping")
    return cast("dict[str, Any]", value)
