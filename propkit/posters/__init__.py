"""One module per classifieds site that listings are posted to; a module found here is a poster."""

from propkit.posters._base import (
    Listing,
    Posted,
    Poster,
    PosterLimits,
    PosterPace,
    Sending,
)

__all__ = [
    "Listing",
    "Posted",
    "Poster",
    "PosterLimits",
    "PosterPace",
    "Sending",
]
