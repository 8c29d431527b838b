"""HTML pages over the JSON API."""

from service.dashboard import fleet_pages, trial_pages
from service.dashboard.assets import mount_static
from service.dashboard.pages import router, unknown_page

for _pages in (trial_pages, fleet_pages):
    router.include_router(_pages.router)

__all__ = ["mount_static", "router", "unknown_page"]
