"""Registering what a run has logged as a version of a model."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..errors import BadReference, RegistryError
from ..running import system_user
from ..store import Store, current_store, now_ms, schema
from ..store.artifacts import exists, join
from ..store.upsert import insert_new
from .events import Change, append_event
from .records import ModelVersion
from .uris import resolve_model_uri
from .versions import get_model_version

__all__ = ["register_model"]


def register_model(
    name: str,
    uri: str,
    *,
    description: str = "",
    tags: dict[str, str] | None = None,
    store: Store | None = None,
) -> ModelVersion:
    """Write a new version of a model, its event and its outbox row, in one transaction.

    `prefect_ml.register_model` documents the arguments; it also tells Prefect.

    Raises:
        BadReference: The name or the URI cannot be one.
        RegistryError: The model's files are not there.
        RunNotFound, ArtifactError: The URI leads to nothing.
    """
    _check_name(name)
    store = current_store(store)
    source = resolve_model_uri(uri, store=store)
    if not exists(join(source.uri, "MLmodel")):
        raise RegistryError(f"The files of {uri} are gone from {source.uri}; log the model again.")
    with store.write() as connection:
        version = _next_version(connection, name)
        connection.execute(
            sa.insert(schema.model_versions).values(
                name=name,
                version=version,
                status="Ready",
                run_id=source.run_id,
                source=uri,
                uri=source.uri,
                digest=source.digest,
                description=description,
                tags=tags or {},
                created_at=now_ms(),
                created_by=system_user(),
            )
        )
        append_event(connection, Change("registered", name, version, evidence={"digest": source.digest}))
    return get_model_version(name, version, store=store)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[\w][\w .-]{0,199}", name):
        raise BadReference(f"{name!r} cannot name a model; use up to 200 letters, digits, blanks, '.', '_' and '-'.")


def _next_version(connection: Connection, name: str) -> int:
    insert_new(
        connection,
        schema.registered_models,
        {"name": name, "description": "", "created_at": now_ms(), "created_by": system_user(), "versions": 0},
    )
    query = (
        sa.update(schema.registered_models)
        .where(schema.registered_models.c.name == name)
        .values(versions=schema.registered_models.c.versions + 1)
        .returning(schema.registered_models.c.versions)
    )
    return int(connection.execute(query).scalar_one())
