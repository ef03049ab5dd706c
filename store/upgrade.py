"""Bringing a store's schema to the revision that this code speaks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..errors import StoreError
from . import schema
from .migrations import HEAD, REVISIONS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..settings import Settings
    from .engine import Store

__all__ = ["ensure_schema", "is_made", "upgrade_store"]

_VERSION_TABLE = (
    "CREATE TABLE alembic_version"
    " (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def ensure_schema(store: Store) -> None:
    """Give a new database its schema, and refuse one of another revision.

    Raises:
        StoreError: The store is newer than this code, or older and in need of `prefect-ml store upgrade`.
    """
    with store.read() as connection:
        revision = _revision(connection)
    _refuse_newer(store, revision)
    if revision is None:
        _create(store)
    elif revision != HEAD:
        raise StoreError(f"The store {store.url} is of an older prefect-ml; run `prefect-ml store upgrade` once.")


def upgrade_store(store: Store) -> str:
    """Run the migrations that are missing, in one transaction, and give the revision reached.

    Two machines may call this at once: the second waits, and finds nothing left to do.

    Raises:
        StoreError: The store is newer than this code, or cannot be reached.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "prefect_ml.store:migrations")
    config.set_main_option("path_separator", "os")
    with store.migrating() as connection:
        _alone(connection)
        _refuse_newer(store, _revision(connection))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return HEAD


def is_made(settings: Settings) -> bool:
    """Whether a store exists where these settings say, whatever its revision; asking makes none.

    Raises:
        StoreError: It cannot be reached.
        SettingsError: The URL is not one that a store can have.
    """
    from .engine import connect_store

    store = connect_store(settings)
    database = store.engine.url.database or ""
    if store.engine.dialect.name == "sqlite" and not Path(database).is_file():
        return False
    with store.read() as connection:
        return _has_version_table(connection)


def _create(store: Store) -> None:
    """Lay the newest schema into an empty database, as all migrations would have left it; a test compares the two."""
    with store.write() as connection:
        _alone(connection)
        if not _has_version_table(connection):
            schema.metadata.create_all(connection, checkfirst=False)
            connection.execute(sa.text(_VERSION_TABLE))
            connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _alone(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7337160315)"))


def _refuse_newer(store: Store, revision: str | None) -> None:
    if revision is not None and revision not in REVISIONS:
        raise StoreError(
            f"The store {store.url} was made by a newer prefect-ml (revision {revision}); upgrade this one."
        )


def _revision(connection: Connection) -> str | None:
    if not _has_version_table(connection):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _has_version_table(connection: Connection) -> bool:
    return sa.inspect(connection).has_table("alembic_version")
