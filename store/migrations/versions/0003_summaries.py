"""What runs that have ended show, in one row each.

Runs that ended before are read value by value, as they were.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "summaries",
        sa.Column("run_seq", _KEY, autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_seq", name="pk_summaries"),
        sa.ForeignKeyConstraint(["run_seq"], ["runs.seq"], name="fk_summaries_run_seq"),
    )
