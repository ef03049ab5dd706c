"""Alembic's environment: runs inside the transaction that `upgrade_store` opened."""

from __future__ import annotations

from alembic import context

from prefect_ml.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
