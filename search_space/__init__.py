"""What may be searched."""

from search_space.architecture import Activation, Architecture
from search_space.cost import parameter_columns, parameter_count
from search_space.dimension import Choice, Dimension, IntegerRange
from search_space.errors import EmptySpaceError, InvalidArchitectureError, SearchSpaceError
from search_space.presets import preset
from search_space.space import SearchSpace

__all__ = [
    "Activation",
    "Architecture",
    "Choice",
    "Dimension",
    "EmptySpaceError",
    "IntegerRange",
    "InvalidArchitectureError",
    "SearchSpace",
    "SearchSpaceError",
    "parameter_columns",
    "parameter_count",
    "preset",
]
