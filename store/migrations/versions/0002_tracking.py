"""Integer keys inside the database, indices for searches, datasets, environments and cached results.

The tables around runs are built anew from copies: neither database can change a primary key that others refer to.

Revision ID: 0002
"""

from __future__ import annotations

import struct
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REBUILT = ("segments", "series", "params", "tags", "attempts", "runs", "experiments", "names")


def upgrade() -> None:
    for table in _REBUILT:
        op.execute(f"CREATE TABLE old_{table} AS SELECT * FROM {table}")
    cascade = " CASCADE" if op.get_bind().dialect.name == "postgresql" else ""
    for table in _REBUILT:
        op.execute(f"DROP TABLE {table}{cascade}")
    _create_runs()
    _create_annotations()
    _create_series()
    _create_new()
    _refer_to_runs()
    _copy()
    for table in _REBUILT:
        op.execute(f"DROP TABLE old_{table}")


def _create_runs() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
    )
    alive = sa.text("deleted_at IS NULL")
    op.create_index(
        "uq_experiments_name", "experiments", ["name"], unique=True, sqlite_where=alive, postgresql_where=alive
    )
    op.create_table(
        "names",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_names"),
        sa.UniqueConstraint("name", name="uq_names_name"),
    )
    op.create_table(
        "environments",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("python", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_environments"),
    )
    op.create_table(
        "runs",
        sa.Column("seq", _KEY, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("experiment_id", _KEY, nullable=False),
        sa.Column("parent_id", _TEXT),
        sa.Column("parent_attempt", sa.Integer()),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("user", _TEXT, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column("artifact_uri", sa.Text(), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column("environment", sa.Text()),
        sa.Column("flow_run_id", _TEXT),
        sa.Column("task_run_id", _TEXT),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.CheckConstraint(
            "status in ('Running', 'Completed', 'Failed', 'Crashed', 'Cancelled')", name=op.f("ck_runs_status")
        ),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name="fk_runs_experiment_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["runs.id"], name="fk_runs_parent_id"),
        sa.ForeignKeyConstraint(["environment"], ["environments.digest"], name="fk_runs_environment"),
        sa.PrimaryKeyConstraint("seq", name="pk_runs"),
        sa.UniqueConstraint("id", name="uq_runs_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_experiment_id_started_at_seq", "runs", ["experiment_id", "started_at", "seq"])
    op.create_index("ix_runs_started_at_seq", "runs", ["started_at", "seq"])
    op.create_index("ix_runs_parent_id", "runs", ["parent_id"])
    op.create_index("ix_runs_flow_run_id", "runs", ["flow_run_id"])
    op.create_table(
        "attempts",
        sa.Column("run_seq", _KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.ForeignKeyConstraint(["run_seq"], ["runs.seq"], name="fk_attempts_run_seq"),
        sa.PrimaryKeyConstraint("run_seq", "number", name="pk_attempts"),
        sqlite_with_rowid=False,
    )


def _create_annotations() -> None:
    op.create_table(
        "params",
        sa.Column("run_seq", _KEY, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name_id", _KEY, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.Column("number", sa.Float()),
        sa.ForeignKeyConstraint(["name_id"], ["names.id"], name="fk_params_name_id"),
        _of_attempt("params"),
        sa.PrimaryKeyConstraint("run_seq", "attempt", "name_id", name="pk_params"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_params_number", "params", ["name_id", "number", "run_seq"])
    op.create_index("ix_params_value", "params", ["name_id", sa.text("substr(value, 1, 64)"), "run_seq"])
    op.create_table(
        "tags",
        sa.Column("run_seq", _KEY, nullable=False),
        sa.Column("name_id", _KEY, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(["name_id"], ["names.id"], name="fk_tags_name_id"),
        sa.ForeignKeyConstraint(["run_seq"], ["runs.seq"], name="fk_tags_run_seq"),
        sa.PrimaryKeyConstraint("run_seq", "name_id", name="pk_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_value", "tags", ["name_id", sa.text("substr(value, 1, 64)"), "run_seq"])


def _create_series() -> None:
    op.create_table(
        "series",
        sa.Column("run_seq", _KEY, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name_id", _KEY, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.Float()),
        sa.Column("min", sa.Float()),
        sa.Column("max", sa.Float()),
        sa.ForeignKeyConstraint(["name_id"], ["names.id"], name="fk_series_name_id"),
        _of_attempt("series"),
        sa.PrimaryKeyConstraint("run_seq", "attempt", "name_id", name="pk_series"),
        sqlite_with_rowid=False,
    )
    for column in ("last", "min", "max"):
        op.create_index(f"ix_series_{column}", "series", ["name_id", column, "run_seq"])
    op.create_table(
        "segments",
        sa.Column("run_seq", _KEY, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name_id", _KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_seq", "attempt", "name_id"],
            ["series.run_seq", "series.attempt", "series.name_id"],
            name="fk_segments_run_seq_attempt_name_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_seq", "attempt", "name_id", "number", name="pk_segments"),
    )


def _create_new() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("name", "digest", name="uq_datasets_name_digest"),
    )
    op.create_index("ix_datasets_digest", "datasets", ["digest"])
    op.create_table(
        "run_datasets",
        sa.Column("run_seq", _KEY, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("dataset_id", _KEY, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_run_datasets_dataset_id"),
        _of_attempt("run_datasets"),
        sa.PrimaryKeyConstraint("run_seq", "attempt", "dataset_id", "role", name="pk_run_datasets"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_datasets_dataset_id", "run_datasets", ["dataset_id"])
    op.create_table(
        "results",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_results_run_id"),
        sa.PrimaryKeyConstraint("key", name="pk_results"),
    )
    op.create_index("ix_results_run_id", "results", ["run_id"])
    op.create_table(
        "reuses",
        sa.Column("task_run_id", _TEXT, nullable=False),
        sa.Column("parent_id", _TEXT, nullable=False),
        sa.Column("run_id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["runs.id"], name="fk_reuses_parent_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_reuses_run_id"),
        sa.PrimaryKeyConstraint("task_run_id", name="pk_reuses"),
    )
    op.create_index("ix_reuses_parent_id", "reuses", ["parent_id"])
    op.create_index("ix_reuses_run_id", "reuses", ["run_id"])


def _of_attempt(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["run_seq", "attempt"], ["attempts.run_seq", "attempts.number"], name=f"fk_{table}_run_seq_attempt"
    )


def _refer_to_runs() -> None:
    """PostgreSQL has dropped the references to the old table; SQLite knows them by name and keeps them."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ("logged_models", "model_versions"):
        op.execute(f'ALTER TABLE {table} ALTER COLUMN run_id TYPE TEXT COLLATE "C"')


def _copy() -> None:
    op.execute("INSERT INTO experiments SELECT id, name, created_at, deleted_at FROM old_experiments")
    op.execute("INSERT INTO names SELECT id, name FROM old_names")
    op.execute(
        """INSERT INTO runs (id, experiment_id, parent_id, parent_attempt, superseded, name, status, attempt, "user",
             started_at, ended_at, heartbeat_at, artifact_uri, source, flow_run_id, task_run_id, deleted_at)
           SELECT id, experiment_id, parent_id,
             (SELECT attempt FROM old_runs AS parent WHERE parent.id = old_runs.parent_id), false, name, status,
             attempt, "user", started_at, ended_at, heartbeat_at, artifact_uri, source, flow_run_id, task_run_id,
             deleted_at
           FROM old_runs ORDER BY started_at, id"""
    )
    seq = "(SELECT seq FROM runs WHERE runs.id = old.run_id)"
    op.execute(f"INSERT INTO attempts SELECT {seq}, number, status, started_at, ended_at, error FROM old_attempts old")
    op.execute(f"INSERT INTO params SELECT {seq}, attempt, name_id, value, number FROM old_params old")
    op.execute(f"INSERT INTO tags SELECT {seq}, name_id, value FROM old_tags old")
    op.execute(
        f"""INSERT INTO series SELECT {seq}, attempt, name_id, count, last_step, last_at, last, min, max
            FROM old_series old"""
    )
    _copy_segments()
    if op.get_bind().dialect.name == "postgresql":
        for table in ("experiments", "names"):
            op.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} HAVING max(id) > 0"
            )
        for table in ("logged_models", "model_versions"):
            op.create_foreign_key(f"fk_{table}_run_id", table, "runs", ["run_id"], ["id"])


def _copy_segments() -> None:
    bind = op.get_bind()
    found = bind.execute(
        sa.text(
            """SELECT runs.seq, series.attempt, series.name_id, old.count, old.data
               FROM old_segments old JOIN old_series series ON series.id = old.series_id
               JOIN runs ON runs.id = series.run_id ORDER BY old.id"""
        )
    )
    insert = sa.text("INSERT INTO segments VALUES (:seq, :attempt, :name_id, :number, :count, :data)")
    numbers: dict[tuple[int, int, int], int] = {}
    for seq, attempt, name_id, count, data in found.all():
        key = (seq, attempt, name_id)
        numbers[key] = number = numbers.get(key, -1) + 1
        row: dict[str, Any] = {"seq": seq, "attempt": attempt, "name_id": name_id, "number": number, "count": count}
        bind.execute(insert, {**row, "data": _recoded(bytes(data))})


def _recoded(data: bytes) -> bytes:
    """Turn the first segment format (columns of 64-bit differences, zlib) into the plainest form of the second."""
    count, *sizes = struct.unpack_from("<4I", data, 1)
    packed, position = [], 17
    for size in sizes:
        packed.append(data[position : position + size])
        position += size
    return struct.pack("<BI", 2, count) + b"".join(struct.pack("<BBI", 3, 8, len(part)) + part for part in packed)
