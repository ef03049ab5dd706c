"""The fields of an `MLproject` file that declare its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from yaml.nodes import Node, SequenceNode

from .model import DeclaredEnvironment
from .yaml_files import Field, YamlFile

__all__ = ["read_environment"]

_Item = TypeVar("_Item")
_FILES: tuple[Literal["python_env", "conda_env"], ...] = ("python_env", "conda_env")
_DOCKER_FIELDS = ("image", "volumes", "environment")


def read_environment(file: YamlFile, fields: Mapping[str, Field]) -> DeclaredEnvironment | None:
    """Read the one environment that a descriptor declares.

    Args:
        file: The descriptor.
        fields: Its fields by name.

    Raises:
        ProjectError: It declares several, one whose file is absent, or one that cannot be understood.
    """
    declared = sorted(
        (fields[name] for name in (*_FILES, "docker_env") if name in fields),
        key=lambda field: field.key.start_mark.index,
    )
    if len(declared) > 1:
        names = " and ".join(field.name for field in declared)
        file.refuse(declared[1].key, f"the project declares {names}; it can have one environment, so keep one")
    for name in _FILES:
        if name in fields:
            return DeclaredEnvironment(name, file=_existing(file, fields[name]))
    return _docker(file, fields["docker_env"]) if "docker_env" in fields else None


def _existing(file: YamlFile, field: Field) -> Path:
    name = file.text_of(field.value, field.name)
    path = file.path.parent / name
    if not name or "\0" in name or not path.is_file():
        file.refuse(field.value, f"{field.name} names the file {name!r}, which the project does not have; add it")
    return path


def _docker(file: YamlFile, field: Field) -> DeclaredEnvironment:
    fields = {entry.name: entry for entry in file.fields(field.value, "docker_env", _DOCKER_FIELDS)}
    image = file.text_of(fields["image"].value, "the image of docker_env").strip() if "image" in fields else ""
    if not image and not file.is_wrong(field.value):
        file.note(field.key, "docker_env has no image; name one")
    volumes = file.items(fields["volumes"].value, "volumes of docker_env") if "volumes" in fields else []
    environment = (
        file.items(fields["environment"].value, "environment of docker_env") if "environment" in fields else []
    )
    return DeclaredEnvironment(
        "docker_env",
        image=image,
        volumes=tuple(_each(file, volumes, _volume)),
        environment=tuple(_each(file, environment, _variable)),
    )


def _each(file: YamlFile, nodes: list[Node], read: Callable[[YamlFile, Node], _Item]) -> list[_Item]:
    items: list[_Item] = []
    for node in nodes:
        with file.part():
            items.append(read(file, node))
    return items


def _volume(file: YamlFile, node: Node) -> str:
    volume = file.text_of(node, "a volume of docker_env")
    if not all(volume.split(":", 1)[:2]) or ":" not in volume:
        file.refuse(node, f"the volume {volume!r} must be HOST:CONTAINER, such as ./data:/data")
    return volume


def _variable(file: YamlFile, node: Node) -> tuple[str, str | None]:
    parts = list(node.value) if isinstance(node, SequenceNode) else [node]
    if len(parts) not in (1, 2):
        file.refuse(node, "a variable of docker_env must be NAME or [NAME, value]")
    name = file.text_of(parts[0], "the name of a variable of docker_env")
    if not name or "=" in name or "\0" in name:
        head, _, value = name.partition("=")
        file.refuse(parts[0], f"a variable of docker_env cannot be called {name!r}; write [{head or 'NAME'}, {value}]")
    if len(parts) == 1:
        return name, None
    return name, file.text_of(parts[1], f"the value of {name}")
