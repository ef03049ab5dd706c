"""The `MLproject` file: what it says, or why not, with file, line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from yaml.nodes import Node, ScalarNode

from .environment_field import read_environment
from .model import DeclaredEnvironment, EntryPoint, Parameter, ParameterType
from .shell import check_contexts
from .template import BadCommand, pieces_of
from .yaml_files import Field, YamlFile, is_empty, open_yaml, suggestion

__all__ = ["Description", "read_mlproject"]

_FIELDS = ("name", "python_env", "conda_env", "docker_env", "entry_points", "description")
_ENTRY_POINT_FIELDS = ("parameters", "command", "description")
_PARAMETER_FIELDS = ("type", "default", "description")
_TYPES: Mapping[str, ParameterType] = {
    **dict.fromkeys(("string", "str", "text", "bool", "boolean", "any", "list", "array", "dict", "json"), "string"),
    **dict.fromkeys(("date", "datetime", "file", "dir", "directory", "url"), "string"),
    **dict.fromkeys(("float", "double", "number", "numeric"), "float"),
    **dict.fromkeys(("int", "integer", "long"), "int"),
    "path": "path",
    "uri": "uri",
}
# What YAML makes of `{type:float}` and `{type float}`: a key with no value.
_KEY_WITH_VALUE = re.compile(r"(type|default)[:\s]\s*(\S.*)", re.DOTALL)


@dataclass(frozen=True)
class Description:
    """What an `MLproject` file says.

    Attributes:
        name: Name of the project; empty where it has none.
        environment: Its environment, or None.
        entry_points: Its entry points by name.
    """

    name: str = ""
    environment: DeclaredEnvironment | None = None
    entry_points: Mapping[str, EntryPoint] = field(default_factory=dict[str, EntryPoint])


def read_mlproject(path: Path) -> Description:
    """Read an `MLproject` file.

    Raises:
        ProjectError: Something in it is wrong; the message names all of it, each with file, line and column.
    """
    file = open_yaml(path)
    if file.root is None:
        return Description()
    spark = [field for field in file.fields(file.root, "an MLproject file") if field.name == "databricks_spark_job"]
    if spark:
        file.refuse(spark[0].key, "a databricks_spark_job runs on Databricks only; give the project entry_points")
    fields = {field.name: field for field in file.fields(file.root, "an MLproject file", _FIELDS)}
    name, environment, points = "", None, dict[str, EntryPoint]()
    with file.part():
        name = _text(file, fields.get("name"), "the name")
    with file.part():
        environment = read_environment(file, fields)
    with file.part():
        points = _entry_points(file, fields.get("entry_points"))
    file.check()
    return Description(name, environment, points)


def _entry_points(file: YamlFile, field: Field | None) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in file.fields(field.value, "entry_points") if field else []:
        with file.part():
            found[entry.name] = _entry_point(file, entry)
    return found


def _entry_point(file: YamlFile, entry: Field) -> EntryPoint:
    what = f"the entry point {entry.name!r}"
    fields = {field.name: field for field in file.fields(entry.value, what, _ENTRY_POINT_FIELDS)}
    # A field that nothing knows is likely to be the command, misspelt.
    if (without := "command" not in fields or is_empty(fields["command"].value)) and not file.is_wrong(entry.value):
        file.note(entry.key, f"{what} has no command; give it one")
    parameters = _parameters(file, fields.get("parameters"), entry.name)
    description = ""
    with file.part():
        description = _text(file, fields.get("description"), f"the description of {what}")
    command = "" if without else _command(file, fields["command"].value, what, list(parameters))
    return EntryPoint(entry.name, command=command, parameters=parameters, description=description)


def _command(file: YamlFile, node: Node, what: str, declared: list[str]) -> str:
    command = file.text_of(node, f"the command of {what}")
    if not command.strip():
        file.refuse(node, f"{what} has an empty command; give it one")
    try:
        check_contexts(pieces_of(command, declared))
    except BadCommand as error:
        at = file.text.find(error.found, node.start_mark.index, node.end_mark.index) if error.found else -1
        file.refuse(node, f"in the command of {what}, {error}", at if at >= 0 else None)
    return command


def _parameters(file: YamlFile, field: Field | None, entry_point: str) -> dict[str, Parameter]:
    listed = file.fields(field.value, f"parameters of the entry point {entry_point!r}") if field else []
    found = {one.name: Parameter(one.name) for one in listed}  # the command may name also those that are wrong
    for one in listed:
        with file.part():
            found[one.name] = _parameter(file, one, entry_point)
    return found


def _parameter(file: YamlFile, declared: Field, entry_point: str) -> Parameter:
    what = f"the parameter {declared.name!r} of {entry_point!r}"
    if isinstance(declared.value, ScalarNode):
        return Parameter(declared.name, _type(file, declared.value, str(declared.value.value), what))
    fields: dict[str, Field] = {}
    for entry in file.fields(declared.value, what):
        written = _KEY_WITH_VALUE.fullmatch(entry.name) if is_empty(entry.value) else None
        name = written.group(1) if written else entry.name
        if name not in _PARAMETER_FIELDS:
            known = ", ".join(_PARAMETER_FIELDS)
            file.note(entry.key, f"{what} has no field {name!r}{suggestion(name, _PARAMETER_FIELDS)}; it has {known}")
        if name in fields:
            file.note(entry.key, f"{name!r} is there twice in {what}; leave one of them")
        fields[name] = Field(written.group(2), entry.key, entry.key) if written else Field("", entry.key, entry.value)
    return Parameter(
        declared.name,
        _type_field(file, fields.get("type"), what),
        _default(file, fields.get("default"), what),
        _text(file, fields.get("description"), f"the description of {what}"),
    )


def _type_field(file: YamlFile, field: Field | None, what: str) -> ParameterType:
    if field is None:
        return "string"
    return _type(file, field.value, field.name or file.text_of(field.value, f"the type of {what}"), what)


def _type(file: YamlFile, node: Node, written: str, what: str) -> ParameterType:
    if not written or (is_empty(node) and written == node.value):
        return "string"
    found = _TYPES.get(written.strip().lower())
    if found is None:
        known = ("string", "float", "int", "path", "uri")
        near = suggestion(written.lower(), list(_TYPES))
        file.refuse(node, f"{what} has the type {written!r}, which is none{near}; use {', '.join(known)}")
    return found


def _default(file: YamlFile, field: Field | None, what: str) -> str | None:
    """Give a default as it was written: the text of a scalar, or of a list in brackets; None for one left empty."""
    if field is None or field.name:
        return field.name if field else None
    node = field.value
    if isinstance(node, ScalarNode):
        return None if node.style is None and not node.value else str(node.value)
    if not node.flow_style:  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
        file.refuse(node, f"the default of {what} must be one value; put it in quotes")
    return file.text[node.start_mark.index : node.end_mark.index]


def _text(file: YamlFile, field: Field | None, what: str) -> str:
    return "" if field is None or is_empty(field.value) else file.text_of(field.value, what)
