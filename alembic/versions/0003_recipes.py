"""Recipes of stages and terms, in studies and in the work of their jobs.

Revision: 0003
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Json = dict[str, Any]

STUDIES = sa.table("studies", sa.column("id", sa.BigInteger()), sa.column("spec", sa.JSON()))
JOBS = sa.table("jobs", sa.column("id", sa.BigInteger()), sa.column("work", sa.JSON()))


def upgrade() -> None:
    _rewrite(_of_terms)


def downgrade() -> None:
    _rewrite(_of_weights)


def _rewrite(recipe: Callable[[Json], Json]) -> None:
    connection = op.get_bind()
    for table, column, key in ((STUDIES, "spec", "distillation"), (JOBS, "work", "recipe")):
        for identity, value in connection.execute(sa.select(table.c.id, table.c[column])).all():
            if isinstance(value.get(key), dict):
                changed = value | {key: recipe(value[key])}
                connection.execute(sa.update(table).where(table.c.id == identity).values({column: changed}))


def _of_terms(old: Json) -> Json:
    new = dict(old)
    weights = {"logits": 1.0, "hidden_states": 1.0, "hard_labels": 0.0} | new.pop("weights", {})
    matching, temperature = new.pop("matching", "uniform"), new.pop("temperature", 2.0)
    new["stages"] = [
        {
            "terms": [
                {"knowledge": "logits", "weight": weights["logits"], "temperature": temperature},
                # The embeddings were one of the layers.
                {
                    "knowledge": "hidden_states",
                    "weight": weights["hidden_states"],
                    "matching": matching,
                    "embeddings": True,
                },
                {"knowledge": "hard_labels", "weight": weights["hard_labels"]},
            ]
        }
    ]
    if new.get("initialisation") == "teacher":
        new["initialisation"] = "lower"
    return new


def _of_weights(new: Json) -> Json:
    """What the older form can say of the last stage: it has three terms, one temperature and one matching."""
    old = {name: value for name, value in new.items() if name not in ("stages", "precision", "units", "keep")}
    terms = {term["knowledge"]: term for term in new["stages"][-1]["terms"]}
    weights = {name: _number(terms.get(name, {}).get("weight", 0.0)) for name in _WEIGHED}
    old["weights"] = weights if any(weights.values()) else {"logits": 1.0, "hidden_states": 0.0, "hard_labels": 0.0}
    old["matching"] = "uniform"
    old["temperature"] = _number(terms.get("logits", {}).get("temperature") or 1.0)
    if old.get("initialisation") != "random":
        old["initialisation"] = "teacher"
    return old


_WEIGHED = ("logits", "hidden_states", "hard_labels")


def _number(value: Any) -> float:
    """Of what changes over a stage, where it ends."""
    return float(value["end"] if isinstance(value, dict) else value)
