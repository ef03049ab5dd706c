"""Opening the store: SQLite or PostgreSQL, its schema brought up to date, its errors translated."""

from __future__ import annotations

import functools
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ..errors import SettingsError, StoreError
from ..settings import Settings, load_settings
from .faults import explained
from .forks import ForkGate
from .interning import IdsCache
from .sqlite import MIGRATE, READ, sqlite_engine

__all__ = ["Store", "connect_store", "current_store", "open_store"]


@dataclass(frozen=True)
class Store:
    """An open store. Safe to share between threads; a forked child gets connections of its own."""

    engine: Engine = field(repr=False)
    settings: Settings
    ids: IdsCache = field(default_factory=IdsCache, repr=False, compare=False)
    gate: ForkGate = field(default_factory=ForkGate, repr=False, compare=False)

    @property
    def url(self) -> str:
        """URL of the store with the password masked."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Generator[Connection]:
        """Open one transaction for writing; it commits at the end, or rolls back when an error leaves the block.

        Raises:
            StoreError: The database refused or could not be reached.
        """
        with self._translated(), self.gate.passed(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Generator[Connection]:
        """Open a connection for reading; on SQLite it sees one moment.

        Raises:
            StoreError: The database could not be reached.
        """
        with self._translated(), self.gate.passed(), self._connect(READ) as connection:
            yield connection

    def sync(self) -> None:
        """Bring what was committed to the disk itself; PostgreSQL has done so at each commit.

        SQLite in WAL mode does that only now and then, so that commits are quick: they survive the death of a
        process anyway.
        """
        if self.engine.dialect.name == "sqlite":
            with suppress(FileNotFoundError):  # everything is in the database file
                fd = os.open(f"{self.engine.url.database}-wal", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """Open a transaction in which tables may be built anew: SQLite checks references only at its end.

        Raises:
            StoreError: The database refused, or references would lead nowhere.
        """
        with self._translated(), self.gate.passed(), self._connect(MIGRATE) as connection:
            try:
                with connection.begin():
                    yield connection
                    if (
                        connection.dialect.name == "sqlite"
                        and connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                    ):
                        raise StoreError(f"The store {self.url} has rows that refer to nothing; restore a backup.")
            finally:
                connection.invalidate()

    def _connect(self, option: str) -> Connection:
        return self.engine.connect().execution_options(**{option: True})

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StoreError(explained(self.engine.url, error)) from error


def open_store(settings: Settings | None = None) -> Store:
    """Open the store that the settings name; once per process and URL. A new database gets its schema.

    Raises:
        StoreError: It cannot be reached, or its schema is newer or older than this code.
        SettingsError: The URL is not one that a store can have.
    """
    return _open(settings or load_settings())


def current_store(store: Store | None = None) -> Store:
    """Give `store` itself, or the one that the settings name."""
    return store or open_store()


def connect_store(settings: Settings) -> Store:
    """Connect to a store whatever its schema is: only an upgrade wants that.

    Raises:
        StoreError: The URL is not one that a store can have.
    """
    return Store(_engine(settings.store_url), settings)


@functools.lru_cache(maxsize=8)
def _open(settings: Settings) -> Store:
    from .upgrade import ensure_schema

    store = connect_store(settings)
    _guard_forks(store)
    ensure_schema(store)
    return store


def _guard_forks(store: Store) -> None:
    engine = store.engine
    if engine.dialect.name == "sqlite":
        # Within a process, SQLite takes it that it holds the locks that its open connections have taken: a child that
        # inherited one would believe so, too.
        store.gate.guard(before=engine.dispose, in_child=lambda: engine.dispose(close=False), patience=1)
    else:
        store.gate.guard(before=lambda: None, in_child=lambda: engine.dispose(close=False), patience=0.05)


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return sqlite_engine(parsed)
        if parsed.get_backend_name() == "postgresql":
            return _postgresql(parsed)
    except (ArgumentError, NoSuchModuleError) as error:
        raise SettingsError("The store URL is not a SQLAlchemy URL; use sqlite:///path or postgresql://...") from error
    except ModuleNotFoundError as error:
        raise StoreError("PostgreSQL needs a driver: pip install 'prefect-ml[postgres]'.") from error
    raise SettingsError(
        f"The store cannot be kept in {parsed.get_backend_name()}; use sqlite:///path or postgresql://..."
    )


def _postgresql(url: sa.URL) -> Engine:
    # A server that has gone without a word is noticed within a minute; what the URL says goes before.
    patience = {
        "connect_timeout": 10,
        "keepalives_idle": 20,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 40_000,
    }
    arguments = {name: value for name, value in patience.items() if name not in url.query}
    return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=arguments)
