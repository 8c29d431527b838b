"""Events, answers by idempotency key, stopped studies; SQLite never gives the number of a job again.

Revision: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STUDIES = sa.table(
    "studies",
    sa.column("id", sa.BigInteger()),
    sa.column("state", sa.String()),
    sa.column("stopped_from", sa.String()),
    sa.column("stopped_at", sa.DateTime(timezone=True)),
)
JOBS = sa.table(
    "jobs",
    sa.column("study_id", sa.BigInteger()),
    sa.column("state", sa.String()),
    sa.column("ended_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.add_column("studies", sa.Column("stopped_from", sa.String(length=16), nullable=True))
    op.add_column("studies", sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "events",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("topic", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("study", sa.String(length=64), nullable=True),
        sa.Column("trial", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_number"), "events", ["number"], unique=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    _copy_jobs(autoincrement=True)


def downgrade() -> None:
    _resume()
    _copy_jobs(autoincrement=False)
    op.drop_table("idempotency_keys")
    op.drop_table("events")
    op.drop_column("studies", "stopped_at")
    op.drop_column("studies", "stopped_from")


def _copy_jobs(*, autoincrement: bool) -> None:
    """SQLite says only when it makes a table whether its numbers are given again."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("jobs", recreate="always", table_kwargs={"sqlite_autoincrement": autoincrement}):
            pass


def _resume() -> None:
    """An older service does not know stopped studies: they go on."""
    connection = op.get_bind()
    statement = sa.select(STUDIES.c.id, STUDIES.c.stopped_from).where(STUDIES.c.state == "stopped")
    for study, state in connection.execute(statement).all():
        at = sa.select(STUDIES.c.stopped_at).where(STUDIES.c.id == study).scalar_subquery()
        cancelled = (JOBS.c.study_id == study, JOBS.c.state == "cancelled", JOBS.c.ended_at == at)
        connection.execute(sa.update(JOBS).where(*cancelled).values(state="queued", ended_at=None))
        connection.execute(sa.update(STUDIES).where(STUDIES.c.id == study).values(state=state))
