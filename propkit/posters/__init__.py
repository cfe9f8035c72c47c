"""One module per classifieds site that listings are posted to; a module found here is a poster."""

from propkit.posters._account import forget_login
from propkit.posters._base import (
    Listing,
    Posted,
    Poster,
    PosterLimits,
    PosterPace,
    Sending,
)
from propkit.posters._callables import FunctionPoster
from propkit.posters._finding import find_poster, poster_names

__all__ = [
    "FunctionPoster",
    "Listing",
    "Posted",
    "Poster",
    "PosterLimits",
    "PosterPace",
    "Sending",
    "find_poster",
    "forget_login",
    "poster_names",
]
