"""Alembic's environment: runs on the connection, and in the transaction, that `consortium.db` hands over."""

from __future__ import annotations

from alembic import context

from consortium.db import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
