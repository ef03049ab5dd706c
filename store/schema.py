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
    text,
)

__all__ = [
    "attempts",
    "bentos",
    "endpoints",
    "experiments",
    "journals",
    "logged_models",
    "metadata",
    "model_events",
    "model_versions",
    "names",
    "outbox",
    "params",
    "registered_models",
    "runs",
    "segments",
    "series",
    "stage_holders",
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

experiments = Table(
    "experiments",
    metadata,
    Column("id", _BigKey, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("experiment_id", _BigKey, ForeignKey("experiments.id"), nullable=False),
    Column("parent_id", Text, ForeignKey("runs.id")),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("user", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("artifact_uri", Text, nullable=False),
    Column("source", JSON, nullable=False),
    Column("flow_run_id", Text),
    Column("task_run_id", Text),
    Column("deleted_at", BigInteger),
    CheckConstraint("status in ('Running', 'Completed', 'Failed', 'Crashed', 'Cancelled')", name="status"),
    Index(None, "experiment_id", "started_at"),
    Index(None, "parent_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("error", Text),
)

names = Table(
    "names",
    metadata,
    Column("id", _BigKey, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

params = Table(
    "params",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("name_id", _BigKey, ForeignKey("names.id"), primary_key=True),
    Column("value", Text, nullable=False),
    Column("number", Float()),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempts.run_id", "attempts.number"]),
    Index(None, "name_id", "number"),
)

tags = Table(
    "tags",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("name_id", _BigKey, ForeignKey("names.id"), primary_key=True),
    Column("value", Text, nullable=False),
    Index(None, "name_id", "value"),
)

series = Table(
    "series",
    metadata,
    Column("id", _BigKey, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name_id", _BigKey, ForeignKey("names.id"), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("last", Float()),
    Column("min", Float()),
    Column("max", Float()),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempts.run_id", "attempts.number"]),
    UniqueConstraint("run_id", "attempt", "name_id"),
    Index(None, "name_id", "last"),
)

segments = Table(
    "segments",
    metadata,
    Column("id", _BigKey, primary_key=True),
    Column("series_id", _BigKey, ForeignKey("series.id"), nullable=False, index=True),
    Column("count", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
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
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("uri", Text, nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("flavor", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
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
    Column("run_id", Text, ForeignKey("runs.id"), index=True),
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
