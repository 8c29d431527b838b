"""Why trials were suggested, and what suggesting took each study.

Revision: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trials", sa.Column("suggestion", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("studies", sa.Column("suggesting_s", sa.Double(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("studies", "suggesting_s")
    op.drop_column("trials", "suggestion")
