"""The packages of this distribution; `test_house.py` holds them against the build."""

ROOMS = (
    "search_space",
    "encoders",
    "distillation",
    "hardware",
    "optimization",
    "protocol",
    "service",
    "client",
    "worker",
    "cli",
)
