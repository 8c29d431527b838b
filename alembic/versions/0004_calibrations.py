"""Calibrations of device profiles, and what they predict of a trial.

Revision: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("profile_key", sa.String(length=64), nullable=False),
        sa.Column("hardware_key", sa.String(length=64), nullable=False),
        sa.Column("quantile", sa.String(length=16), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibrations")),
    )
    op.create_index(
        op.f("ix_calibrations_profile_key_measured_at"), "calibrations", ["profile_key", "measured_at"], unique=False
    )
    op.add_column("trials", sa.Column("predicted_latency", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("trials", "predicted_latency")
    op.drop_index(op.f("ix_calibrations_profile_key_measured_at"), table_name="calibrations")
    op.drop_table("calibrations")
