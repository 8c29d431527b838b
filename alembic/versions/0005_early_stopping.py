"""Learning curves of running jobs, and decisions to stop trials early.

Revision: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("curve", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("trials", sa.Column("early_stop", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    # Not in a batch: that copies the table and drops the old one, which rows of other tables refer to.
    op.drop_column("trials", "early_stop")
    op.drop_column("jobs", "curve")
