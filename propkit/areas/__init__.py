"""Areas and layers: every parcel of a map layer within an area, and layers not known yet."""

from propkit.areas.desk import AreasDesk
from propkit.areas.ordering import AreaPlan

__all__ = ["AreaPlan", "AreasDesk"]
