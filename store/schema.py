"""The SQL schema, for SQLite and PostgreSQL alike.

Times are integers: milliseconds since 1970, UTC. NaN is kept as NULL in summary columns, so that it matches no
comparison on any database; the segments keep it as what it is.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    column,
    func,
    text,
)

__all__ = [
    "INDEXED_TEXT",
    "attempts",
    "bentos",
    "datasets",
    "endpoints",
    "environments",
    "experiments",
    "journals",
    "logged_models",
    "metadata",
    "model_aliases",
    "model_events",
    "model_versions",
    "names",
    "outbox",
    "params",
    "registered_models",
    "results",
    "reuses",
    "run_datasets",
    "runs",
    "segments",
    "series",
    "stage_holders",
    "summaries",
    "tags",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite numbers rows itself only where the key is a plain INTEGER.
_BigKey = BigInteger().with_variant(Integer(), "sqlite")

# Sorted and compared by code point on every database.
_Text = Text().with_variant(Text(collation="C"), "postgresql")
# As much of a text as an index holds: PostgreSQL refuses index rows of more than about 2,700 bytes.
INDEXED_TEXT = 64

experiments = Table(
    "experiments",
    metadata,
    Column("id", _BigKey, primary_key=True),
    Column("name", _Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    # The name of a deleted experiment is free again.
    Index(
        "uq_experiments_name",
        "name",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

environments = Table(
    "environments",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("python", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("packages", JSON, nullable=False),
)

# `id` is the identity that people and Prefect know; `seq` is what the tables below refer to, a quarter of its size.
runs = Table(
    "runs",
    metadata,
    Column("seq", _BigKey, primary_key=True),
    Column("id", _Text, nullable=False, unique=True),
    Column("experiment_id", _BigKey, ForeignKey("experiments.id"), nullable=False),
    Column("parent_id", _Text, ForeignKey("runs.id")),
    Column("parent_attempt", Integer),
    Column("superseded", Boolean, nullable=False),
    Column("name", _Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("user", _Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("artifact_uri", Text, nullable=False),
    Column("source", JSON, nullable=False),
    Column("environment", Text, ForeignKey("environments.digest")),
    Column("flow_run_id", _Text, index=True),
    Column("task_run_id", _Text),
    Column("deleted_at", BigInteger),
    CheckConstraint("status in ('Running', 'Completed', 'Failed', 'Crashed', 'Cancelled')", name="status"),
    Index(None, "experiment_id", "started_at", "seq"),
    Index(None, "started_at", "seq"),
    Index(None, "parent_id"),
    sqlite_autoincrement=True,  # other processes remember numbers: that of a removed run must not come back
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_seq", _BigKey, ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("status", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("error", Text),
    sqlite_with_rowid=False,
)

names = Table(
    "names",
    metadata,
    Column("id", _BigKey, primary_key=True),
    Column("name", _Text, nullable=False, unique=True),
)

params = Table(
    "params",
    metadata,
    Column("run_seq", _BigKey, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("name_id", _BigKey, ForeignKey("names.id"), primary_key=True, autoincrement=False),
    Column("value", _Text, nullable=False),
    Column("number", Float()),
    ForeignKeyConstraint(["run_seq", "attempt"], ["attempts.run_seq", "attempts.number"]),
    Index("ix_params_number", "name_id", "number", "run_seq"),
    Index("ix_params_value", "name_id", func.substr(column("value"), 1, text(str(INDEXED_TEXT))), "run_seq"),
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    Column("run_seq", _BigKey, ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
    Column("name_id", _BigKey, ForeignKey("names.id"), primary_key=True, autoincrement=False),
    Column("value", _Text, nullable=False),
    Index("ix_tags_value", "name_id", func.substr(column("value"), 1, text(str(INDEXED_TEXT))), "run_seq"),
    sqlite_with_rowid=False,
)

series = Table(
    "series",
    metadata,
    Column("run_seq", _BigKey, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("name_id", _BigKey, ForeignKey("names.id"), primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("last", Float()),
    Column("min", Float()),
    Column("max", Float()),
    ForeignKeyConstraint(["run_seq", "attempt"], ["attempts.run_seq", "attempts.number"]),
    Index("ix_series_last", "name_id", "last", "run_seq"),
    Index("ix_series_min", "name_id", "min", "run_seq"),
    Index("ix_series_max", "name_id", "max", "run_seq"),
    sqlite_with_rowid=False,
)

# Params, last metrics and tags of a run that has ended, once more as JSON; see summaries.py.
summaries = Table(
    "summaries",
    metadata,
    Column("run_seq", _BigKey, ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
)

segments = Table(
    "segments",
    metadata,
    Column("run_seq", _BigKey, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("name_id", _BigKey, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["run_seq", "attempt", "name_id"], ["series.run_seq", "series.attempt", "series.name_id"], ondelete="CASCADE"
    ),
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", _BigKey, primary_key=True),
    Column("name", _Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("rows", BigInteger),
    Column("schema", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("name", "digest"),
    Index(None, "digest"),
)

run_datasets = Table(
    "run_datasets",
    metadata,
    Column("run_seq", _BigKey, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("dataset_id", _BigKey, ForeignKey("datasets.id"), primary_key=True, autoincrement=False),
    Column("role", _Text, primary_key=True),
    ForeignKeyConstraint(["run_seq", "attempt"], ["attempts.run_seq", "attempts.number"]),
    Index(None, "dataset_id"),
    sqlite_with_rowid=False,
)

# Which run produced what Prefect cached under a key, and where that was used again.
results = Table(
    "results",
    metadata,
    Column("key", Text, primary_key=True),
    Column("run_id", _Text, ForeignKey("runs.id"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
)

reuses = Table(
    "reuses",
    metadata,
    Column("task_run_id", _Text, primary_key=True),
    Column("parent_id", _Text, ForeignKey("runs.id"), nullable=False, index=True),
    Column("run_id", _Text, ForeignKey("runs.id"), nullable=False, index=True),
    Column("name", _Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

journals = Table(
    "journals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("applied", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

logged_models = Table(
    "logged_models",
    metadata,
    Column("run_id", _Text, ForeignKey("runs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("uri", Text, nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("flavor", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # sha256 of all that two models have in common when they differ only by the run that logged them.
    Column("payload", Text, index=True),
)

registered_models = Table(
    "registered_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("versions", Integer, nullable=False),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("name", Text, ForeignKey("registered_models.name"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("run_id", _Text, ForeignKey("runs.id"), index=True),
    Column("source", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    CheckConstraint("status in ('Pending', 'Ready', 'Failed')", name="status"),
)

stage_holders = Table(
    "stage_holders",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("event_id", Text, ForeignKey("model_events.id"), nullable=False),
    ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
    Index(
        "uq_stage_holders_exclusive",
        "name",
        "stage",
        unique=True,
        sqlite_where=text("exclusive"),
        postgresql_where=text("exclusive"),
    ),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("event_id", Text, ForeignKey("model_events.id"), nullable=False),
    ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
)

model_events = Table(
    "model_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, ForeignKey("registered_models.name"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer),
    Column("from_stage", Text),
    Column("to_stage", Text),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("flow_run_id", Text),
    UniqueConstraint("name", "seq"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _BigKey, primary_key=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("body", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("relayed_at", BigInteger),
    Index(None, "relayed_at", "seq"),
)

bentos = Table(
    "bentos",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("uri", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", Text, ForeignKey("registered_models.name"), primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("desired_version", Integer),
    Column("desired_event", Text),
    Column("version", Integer),
    Column("message", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("status in ('Deploying', 'Ready', 'Degraded', 'Failed', 'Stopped')", name="status"),
)
