"""Runs migrations over the connection that the service passes in, or over the one that the settings name."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, Enum

from service.settings import Settings
from service.store.columns import Instant, Json, Words
from service.store.engine import open_engine, writing
from service.store.tables import Table


def render(kind: str, value: Any, _context: Any) -> str | Literal[False]:
    """How a new migration writes our column types: as what the database has, so that it outlives our classes."""
    if kind == "type" and isinstance(value, Instant):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(value, Words):
        return "sa.Text()"
    if kind == "type" and isinstance(value, Json):
        return "sa.JSON()"
    if kind == "type" and isinstance(value, Enum):
        return f"sa.String(length={value.length})"
    return False


def run(connection: Connection) -> None:
    # SQLite cannot alter a column in place, so tables are copied in batches; its DDL is transactional once the driver
    # does not commit behind our back, which the engine sees to.
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        compare_type=True,
        render_item=render,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations need a database: leave out --sql")
given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = writing(open_engine(Settings.from_environment().database_url))
    with engine.begin() as own:
        run(own)
    engine.dispose()
