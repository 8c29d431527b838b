"""What may be searched."""

from search_space.architecture import Activation, Architecture, AttentionInput, Norm, Pooler
from search_space.cost import Cost, block_cost, cost, cost_columns, parameter_columns, parameter_count
from search_space.dimension import Category, Choice, Dimension, IntegerRange
from search_space.errors import EmptySpaceError, ExpressionError, InvalidArchitectureError, SearchSpaceError
from search_space.expression import Expression
from search_space.known import KNOWN
from search_space.presets import PRESETS, preset
from search_space.preview import Preview, Spread, preview
from search_space.space import SearchSpace

__all__ = [
    "KNOWN",
    "PRESETS",
    "Activation",
    "Architecture",
    "AttentionInput",
    "Category",
    "Choice",
    "Cost",
    "Dimension",
    "EmptySpaceError",
    "Expression",
    "ExpressionError",
    "IntegerRange",
    "InvalidArchitectureError",
    "Norm",
    "Pooler",
    "Preview",
    "SearchSpace",
    "SearchSpaceError",
    "Spread",
    "block_cost",
    "cost",
    "cost_columns",
    "parameter_columns",
    "parameter_count",
    "preset",
    "preview",
]
