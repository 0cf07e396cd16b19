"""How many answers a round awaits: the last one, which settles, is told apart without counting rows.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column. Of rounds that are open none is known to be awaited: every answer settles until one counts."""
    op.add_column("rounds", sa.Column("awaited", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drops it."""
    op.drop_column("rounds", "awaited")
