"""What became of every attempt, writes that were refused, and whose turn it is.

Of jobs that are there already, only the last attempt is known.

Revision: 0009
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
ENDS = {"done": "done", "failed": "error", "cancelled": "cancelled", "queued": "error"}
"""How the last attempt of a job in this state ended, as far as anybody can tell."""

JOBS = sa.table(
    "jobs",
    *(
        sa.column(name, kind)
        for name, kind in {
            "id": sa.BigInteger,
            "study_id": sa.BigInteger,
            "kind": sa.String,
            "state": sa.String,
            "attempt": sa.Integer,
            "released": sa.Integer,
            "failures": sa.Integer,
            "worker": sa.Text,
            "leased_at": INSTANT,
            "ended_at": INSTANT,
            "error": sa.Text,
        }.items()
    ),
)


def upgrade() -> None:
    op.add_column("studies", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    for name in ("failures", "renewal", "stale_writes"):
        op.add_column("jobs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("ix_jobs_study_id_state", "jobs")
    op.create_index("ix_jobs_study_id_state_kind_failures_id", "jobs", ["study_id", "state", "kind", "failures", "id"])
    attempts = op.create_table(
        "attempts",
        sa.Column("job_id", IDENTITY, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("study_id", IDENTITY, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("leased_at", INSTANT, nullable=False),
        sa.Column("request", sa.String(64), nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("reason", sa.String(16), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_attempts_job_id"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_attempts_study_id"),
        sa.PrimaryKeyConstraint("job_id", "attempt", name="pk_attempts"),
        sa.UniqueConstraint("request", name="uq_attempts_request"),
    )
    op.create_index("ix_attempts_study_id_kind_worker", "attempts", ["study_id", "kind", "worker"])
    op.create_index("ix_attempts_study_id_ended_at", "attempts", ["study_id", "ended_at"])
    op.create_table(
        "stale_writes",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("job_id", IDENTITY, nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("call", sa.String(16), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job_attempt", sa.Integer(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_stale_writes_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_stale_writes"),
    )
    op.create_index("ix_stale_writes_job_id_id", "stale_writes", ["job_id", "id"])
    _fill(attempts)


def downgrade() -> None:
    op.drop_table("stale_writes")
    op.drop_table("attempts")
    op.drop_index("ix_jobs_study_id_state_kind_failures_id", "jobs")
    op.create_index("ix_jobs_study_id_state", "jobs", ["study_id", "state"])
    # Not in a batch: that copies the table and drops the old one, which rows of other tables refer to.
    for name in ("stale_writes", "renewal", "failures"):
        op.drop_column("jobs", name)
    op.drop_column("studies", "priority")


def _fill(attempts: sa.Table) -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.select(JOBS).where(JOBS.c.attempt > 0)).mappings().all()
    begun = [row for row in rows if row["leased_at"] is not None]
    if begun:
        connection.execute(sa.insert(attempts), [_last_attempt(row) for row in begun])
    is_running = sa.case((JOBS.c.state == "leased", 1), else_=0)
    connection.execute(
        sa.update(JOBS)
        .where(JOBS.c.state.in_(("queued", "leased")))
        .values(failures=JOBS.c.attempt - JOBS.c.released - is_running)
    )


def _last_attempt(row: Any) -> dict[str, Any]:
    """One that was given back ended nobody knows when: it took no time."""
    leased_at = _aware(row["leased_at"])
    ended_at = None if row["state"] == "leased" else _aware(row["ended_at"] or row["leased_at"])
    return {
        "job_id": row["id"],
        "attempt": row["attempt"],
        "study_id": row["study_id"],
        "kind": row["kind"],
        "worker": row["worker"] or "",
        "leased_at": leased_at,
        "ended_at": ended_at,
        "seconds": None if ended_at is None else (ended_at - leased_at).total_seconds(),
        "reason": ENDS.get(row["state"]),
        "message": row["error"],
    }


def _aware(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
