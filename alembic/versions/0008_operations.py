"""Artefacts that nobody needs may go: their parts, and when they were last touched. Duties, and what suggesting took.

Revision: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ARTEFACTS = sa.table(
    "artefacts",
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("touched_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.add_column("studies", sa.Column("suggestions", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("studies", sa.Column("suggesting_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("artefacts", sa.Column("touched_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("artefacts", sa.Column("examined", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(sa.update(ARTEFACTS).values(touched_at=ARTEFACTS.c.created_at))
    with op.batch_alter_table("artefacts") as artefacts:
        artefacts.alter_column("touched_at", existing_type=sa.DateTime(timezone=True), nullable=False)
    op.create_index(op.f("ix_artefacts_touched_at"), "artefacts", ["touched_at"])
    op.create_table(
        "artefact_parts",
        sa.Column("folder_id", sa.String(length=64), nullable=False),
        sa.Column("file_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["artefacts.id"], name=op.f("fk_artefact_parts_folder_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["file_id"], ["artefacts.id"], name=op.f("fk_artefact_parts_file_id")),
        sa.PrimaryKeyConstraint("folder_id", "file_id", name=op.f("pk_artefact_parts")),
    )
    op.create_index(op.f("ix_artefact_parts_file_id"), "artefact_parts", ["file_id"])
    op.create_table(
        "duties",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )


def downgrade() -> None:
    op.drop_table("duties")
    op.drop_table("artefact_parts")
    op.drop_index(op.f("ix_artefacts_touched_at"), "artefacts")
    op.drop_column("artefacts", "examined")
    op.drop_column("artefacts", "touched_at")
    op.drop_column("studies", "suggesting_s")
    op.drop_column("studies", "suggestions")
