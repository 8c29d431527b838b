"""What machines can measure, the hardware that a study's latencies are of, and readings of the reference architecture.

Revision: 0006
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MEASURING = ("calibrate", "measure")
OPEN = ("queued", "leased")

STUDIES = sa.table("studies", sa.column("id", sa.BigInteger()), sa.column("hardware_key", sa.String()))
WORKERS = sa.table("workers", sa.column("name", sa.Text()), sa.column("targets", sa.JSON()))
JOBS = sa.table(
    "jobs",
    sa.column("id", sa.BigInteger()),
    sa.column("study_id", sa.BigInteger()),
    sa.column("kind", sa.String()),
    sa.column("state", sa.String()),
    sa.column("target", sa.String()),
    sa.column("hardware_key", sa.String()),
    sa.column("work", sa.JSON()),
)
MEASUREMENTS = sa.table(
    "measurements",
    sa.column("id", sa.BigInteger()),
    sa.column("study_id", sa.BigInteger()),
    sa.column("role", sa.String()),
    sa.column("measurement", sa.JSON()),
)


def upgrade() -> None:
    op.add_column("studies", sa.Column("hardware_key", sa.String(length=64), nullable=True))
    op.add_column("jobs", sa.Column("hardware_key", sa.String(length=64), nullable=True))
    op.create_table(
        "readings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("hardware_key", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("p50_s", sa.Double(), nullable=False),
        sa.Column("disturbed", sa.Boolean(), nullable=False),
        sa.Column("tolerance", sa.Double(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_readings")),
    )
    op.create_index(op.f("ix_readings_hardware_key_target"), "readings", ["hardware_key", "target"])
    op.create_index(op.f("ix_readings_worker"), "readings", ["worker"])
    _settle_studies()
    _say_needs(_need)


def downgrade() -> None:
    connection = op.get_bind()
    _say_needs(_pair)
    for name, targets in connection.execute(sa.select(WORKERS.c.name, WORKERS.c.targets)).all():
        pairs = [each if isinstance(each, str) else f"{each['device']}/{each['runtime']}" for each in targets]
        connection.execute(sa.update(WORKERS).where(WORKERS.c.name == name).values(targets=pairs))
    op.drop_table("readings")
    op.drop_column("jobs", "hardware_key")
    op.drop_column("studies", "hardware_key")


def _settle_studies() -> None:
    """A study's latencies stay with the hardware that measured its first reference."""
    connection = op.get_bind()
    statement = (
        sa.select(MEASUREMENTS.c.study_id, MEASUREMENTS.c.measurement)
        .where(MEASUREMENTS.c.role == "reference")
        .order_by(MEASUREMENTS.c.id.desc())
    )
    keys = {study: measurement.get("hardware_key") for study, measurement in connection.execute(statement).all()}
    for study, key in keys.items():
        connection.execute(sa.update(STUDIES).where(STUDIES.c.id == study).values(hardware_key=key))
        of_study = (JOBS.c.study_id == study, JOBS.c.kind == "measure", JOBS.c.state.in_(OPEN))
        connection.execute(sa.update(JOBS).where(*of_study).values(hardware_key=key))


def _say_needs(target: Any) -> None:
    """Of the open jobs; those that have ended are never granted again."""
    connection = op.get_bind()
    statement = sa.select(JOBS.c.id, JOBS.c.kind, JOBS.c.work).where(JOBS.c.state.in_(OPEN))
    for identity, kind, work in connection.execute(statement).all():
        profile = work.get("profile")
        if isinstance(profile, dict):
            said = target(kind, profile)
            connection.execute(sa.update(JOBS).where(JOBS.c.id == identity).values(target=said))


def _need(kind: str, profile: dict[str, Any]) -> str | None:
    """A finalist is trained anywhere, and measured elsewhere where that must be."""
    if kind not in MEASURING:
        return None
    dtype, threads = profile.get("dtype", "float32"), profile.get("threads", 1)
    return f"{_pair(kind, profile)}/{dtype}/{threads}"


def _pair(kind: str, profile: dict[str, Any]) -> str:
    del kind
    return f"{profile.get('device', 'cpu')}/{profile.get('runtime', 'torch')}"
