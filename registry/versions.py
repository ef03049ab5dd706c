"""Reading models and their versions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ModelNotFound, UnknownStage, VersionNotFound
from ..store import Store, current_store, from_ms, schema
from ..store.filters import Column, Fields, compile_filter
from .records import ModelVersion, RegisteredModel
from .rules import STAGES

__all__ = [
    "check_version",
    "get_model",
    "get_model_version",
    "search_model_versions",
    "search_models",
    "what_exists",
]

_MOST_NAMED = 10
_MOST_DIGITS = 9

_m = schema.registered_models.c
_v = schema.model_versions.c
_h = schema.stage_holders.c
_a = schema.model_aliases.c
_stage = sa.func.coalesce(_h.stage, "None")
_VERSIONS = sa.select(schema.model_versions, _stage.label("stage")).select_from(
    schema.model_versions.outerjoin(schema.stage_holders, sa.and_(_h.name == _v.name, _h.version == _v.version))
)
_MODEL_FIELDS = Fields({"name": Column(_m.name), "description": Column(_m.description)}, {})
_VERSION_FIELDS = Fields(
    {
        "name": Column(_v.name),
        "version": Column(_v.version, "number"),
        "stage": Column(_stage),
        "status": Column(_v.status),
        "run_id": Column(_v.run_id),
        "created_at": Column(_v.created_at, "time"),
    },
    {},
)


def get_model_version(name: str, version: int | str, *, store: Store | None = None) -> ModelVersion:
    """Give one version of a model.

    Args:
        name: Name of the model.
        version: Its number, the stage that it holds, `@` and an alias of it, or "latest".
        store: Another store than the one that the settings name.

    Raises:
        ModelNotFound: No model has this name.
        VersionNotFound: It has no such version or alias, or nobody holds the stage.
        UnknownStage: There is no such stage.
    """
    store = current_store(store)
    query = _VERSIONS.where(_v.name == name, _is_called(name, str(version))).order_by(_v.version.desc()).limit(1)
    with store.read() as connection:
        found = _read(connection, query)
        if found:
            return found[0]
        known = what_exists(connection, name)
        aliases = connection.execute(sa.select(_a.alias).where(_a.name == name)).scalars().all()
    get_model(name, store=store)
    if not _is_plain(str(version)) and str(version).casefold() not in map(str.casefold, STAGES):
        raise UnknownStage(str(version), STAGES, aliases)
    raise VersionNotFound(name, version, known)


def check_version(connection: Connection, name: str, version: int) -> str:
    """Give the status of a version.

    Raises:
        VersionNotFound: The model has no such version.
    """
    query = sa.select(_v.status).where(_v.name == name, _v.version == version)
    status = connection.execute(query).scalar()
    if status is None:
        raise VersionNotFound(name, version, what_exists(connection, name))
    return str(status)


def what_exists(connection: Connection, name: str) -> str:
    """Say in words which versions a model has, latest first, who holds its stages, and its aliases."""
    numbers = connection.execute(sa.select(_v.version).where(_v.name == name).order_by(_v.version.desc())).scalars()
    held = connection.execute(
        sa.select(_h.stage, _h.version).where(_h.name == name, _h.exclusive).order_by(_h.stage)
    ).tuples()
    aliases = connection.execute(sa.select(_a.alias, _a.version).where(_a.name == name).order_by(_a.alias)).tuples()
    versions = [str(number) for number in numbers]
    names = [f"{stage} is {number}" for stage, number in held]
    names += [f"@{alias} is {number}" for alias, number in aliases]
    if not versions:
        return ""
    more = f" and {len(versions) - _MOST_NAMED} more" if len(versions) > _MOST_NAMED else ""
    kind = "the version" if len(versions) == 1 else "the versions"
    named = f" ({', '.join(names)})" if names else ""
    return f"{kind} {', '.join(versions[:_MOST_NAMED])}{more}{named}"


def get_model(name: str, *, store: Store | None = None) -> RegisteredModel:
    """Give one registered model.

    Raises:
        ModelNotFound: No model has this name.
    """
    with current_store(store).read() as connection:
        found = _models(connection, _m.name == name)
        known = () if found else connection.execute(sa.select(_m.name)).scalars().all()
    if not found:
        raise ModelNotFound(name, known)
    return found[0]


def search_models(filter: str = "", *, limit: int = 100, store: Store | None = None) -> list[RegisteredModel]:  # noqa: A002
    """Give the registered models that a filter matches, by name.

    Raises:
        FilterError: The filter is wrong.
    """
    condition = compile_filter(filter, _MODEL_FIELDS)
    with current_store(store).read() as connection:
        return _models(connection, condition)[:limit]


def search_model_versions(
    filter: str = "",  # noqa: A002 - the contract's name
    *,
    name: str | None = None,
    limit: int = 100,
    store: Store | None = None,
) -> list[ModelVersion]:
    """Give the versions that a filter matches, newest first.

    Raises:
        FilterError: The filter is wrong.
    """
    query = _VERSIONS.where(compile_filter(filter, _VERSION_FIELDS))
    if name is not None:
        query = query.where(_v.name == name)
    query = query.order_by(_v.created_at.desc(), _v.version.desc()).limit(limit)
    with current_store(store).read() as connection:
        return _read(connection, query)


def _models(connection: Connection, condition: sa.ColumnElement[bool]) -> list[RegisteredModel]:
    holders: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, stage, version in connection.execute(
        sa.select(_h.name, _h.stage, _h.version).order_by(_h.stage, _h.version)
    ):
        holders[name][stage].append(version)
    rows = connection.execute(sa.select(schema.registered_models).where(condition).order_by(_m.name)).all()
    return [
        RegisteredModel(
            name=row.name,
            description=row.description,
            created_at=from_ms(row.created_at),
            created_by=row.created_by,
            versions=row.versions,
            stages=dict(holders[row.name]),
        )
        for row in rows
    ]


def _is_called(name: str, version: str) -> sa.ColumnElement[bool]:
    """Hold for the versions of a model that a number, a stage, an alias or "latest" means."""
    if version.isdecimal():
        return _v.version == (int(version) if len(version) <= _MOST_DIGITS else -1)
    if version.startswith("@"):
        return _v.version.in_(sa.select(_a.version).where(_a.name == name, _a.alias == version[1:]))
    return sa.true() if version == "latest" else sa.func.lower(_stage) == version.lower()


def _is_plain(version: str) -> bool:
    return version.isdecimal() or version.startswith("@") or version == "latest"


def _read(connection: Connection, query: sa.Select[Any]) -> list[ModelVersion]:
    rows = connection.execute(query).all()
    aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
    names = {row.name for row in rows}
    found = sa.select(_a.name, _a.version, _a.alias).where(_a.name.in_(names)).order_by(_a.alias)
    for name, version, alias in connection.execute(found) if names else ():
        aliases[name, version].append(alias)
    return [_version(row, tuple(aliases[row.name, row.version])) for row in rows]


def _version(row: Any, aliases: tuple[str, ...]) -> ModelVersion:
    values: dict[str, Any] = {**row._mapping, "created_at": from_ms(row.created_at), "aliases": aliases}
    return ModelVersion(**values)
