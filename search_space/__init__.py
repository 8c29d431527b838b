"""What may be searched."""

from search_space.architecture import Activation, Architecture, AttentionInput, Norm, Pooler
from search_space.cost import Cost, cost, cost_columns, parameter_columns, parameter_count
from search_space.dimension import Choice, Dimension, IntegerRange
from search_space.errors import EmptySpaceError, InvalidArchitectureError, SearchSpaceError
from search_space.presets import preset
from search_space.space import SearchSpace

__all__ = [
    "Activation",
    "Architecture",
    "AttentionInput",
    "Choice",
    "Cost",
    "Dimension",
    "EmptySpaceError",
    "IntegerRange",
    "InvalidArchitectureError",
    "Norm",
    "Pooler",
    "SearchSpace",
    "SearchSpaceError",
    "cost",
    "cost_columns",
    "parameter_columns",
    "parameter_count",
    "preset",
]
