"""One module per office or API that is asked; a module found here is a source."""

from propkit.sources._base import Ask, FollowUp, Parsed, Payload, SearchHits, Shown, Source
from propkit.sources._config import SourceConfig, Sources, configure_sources, identity_of

__all__ = [
    "Ask",
    "FollowUp",
    "Parsed",
    "Payload",
    "SearchHits",
    "Shown",
    "Source",
    "SourceConfig",
    "Sources",
    "configure_sources",
    "identity_of",
]
