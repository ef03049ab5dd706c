"""Reading models and their versions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import ModelNotFound, VersionNotFound
from ..store import Store, current_store, from_ms, schema
from ..store.filters import Column, Fields, compile_filter
from .records import ModelVersion, RegisteredModel
from .rules import canonical_stage

__all__ = ["get_model", "get_model_version", "search_model_versions", "search_models"]

_m = schema.registered_models.c
_v = schema.model_versions.c
_h = schema.stage_holders.c
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
        version: Its number, the stage that it holds, or "latest".
        store: Another store than the one that the settings name.

    Raises:
        ModelNotFound: No model has this name.
        VersionNotFound: It has no such version, or nobody holds the stage.
        UnknownStage: There is no such stage.
    """
    store = current_store(store)
    text = str(version)
    query = _VERSIONS.where(_v.name == name).order_by(_v.version.desc()).limit(1)
    if text.isdecimal():
        query = query.where(_v.version == int(text))
    elif text != "latest":
        query = query.where(_stage == canonical_stage(text))
    with store.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        get_model(name, store=store)
        raise VersionNotFound(name, version)
    return _version(row)


def get_model(name: str, *, store: Store | None = None) -> RegisteredModel:
    """Give one registered model.

    Raises:
        ModelNotFound: No model has this name.
    """
    with current_store(store).read() as connection:
        found = _models(connection, _m.name == name)
    if not found:
        raise ModelNotFound(name)
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
        return [_version(row) for row in connection.execute(query)]


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


def _version(row: Any) -> ModelVersion:
    values: dict[str, Any] = {**row._mapping, "created_at": from_ms(row.created_at), "aliases": ()}
    return ModelVersion(**values)
