"""Why studies and finalists failed, as one of a closed set.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("studies", sa.Column("failure", sa.String(length=16), nullable=True))
    op.add_column("finalists", sa.Column("failure", sa.String(length=16), nullable=True))


def downgrade() -> None:
    # Not in a batch: that copies the table and drops the old one, which rows of other tables refer to.
    op.drop_column("finalists", "failure")
    op.drop_column("studies", "failure")
