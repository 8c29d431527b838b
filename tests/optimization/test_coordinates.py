import numpy as np

from optimization.coordinates import Coordinates
from search_space import Category, Choice, SearchSpace


def test_options_and_absent_widths_are_coordinates_too():
    space = SearchSpace(
        dimensions={
            "layers": Choice(values=(1, 2)),
            "hidden_size": Choice(values=(64,)),
            "heads": Choice(values=(2,)),
            "ffn_size": Choice(values=(64,)),
            "bottleneck_size": Choice(values=(0, 32, 64)),
            "norm": Category(values=("layer_norm", "no_norm")),
        }
    )
    points = Coordinates(space).points
    assert points.shape == (12, 3)
    assert np.isfinite(points).all()
    assert (points.min(), points.max()) == (0.0, 1.0)
