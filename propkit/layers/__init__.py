"""Map layers of parcels: what they are, how their answers are read, which are known; all pure."""

from propkit.layers.fields import Field
from propkit.layers.layer import Layer

__all__ = ["Field", "Layer"]
