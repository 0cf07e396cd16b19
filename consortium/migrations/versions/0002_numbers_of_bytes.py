"""Numbers of bytes beyond 2 GiB; SQLite's integers have 64 bits as they are.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("rounds", "bytes_in"), ("rounds", "aggregate_size"), ("contributions", "size_bytes"),
    ("assignments", "size_bytes"), ("ceremony_sealed", "size_bytes"),
)  # fmt: skip


def upgrade() -> None:
    """Widens the columns."""
    if op.get_context().dialect.name == "sqlite":
        return
    for table, column in _COLUMNS:
        op.alter_column(table, column, type_=sa.BigInteger(), existing_type=sa.Integer())


def downgrade() -> None:
    """Narrows the columns; fails where one holds more."""
    if op.get_context().dialect.name == "sqlite":
        return
    for table, column in _COLUMNS:
        op.alter_column(table, column, type_=sa.Integer(), existing_type=sa.BigInteger())
