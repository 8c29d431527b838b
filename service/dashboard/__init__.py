"""HTML pages over the JSON API."""

from service.dashboard.assets import mount_static
from service.dashboard.pages import router

__all__ = ["mount_static", "router"]
