"""The sources while they are gone through: another thread may ask for a layer meanwhile."""

from __future__ import annotations

from propkit.settings import Settings
from propkit.sources import configure_sources


def test_sources_that_grow_can_be_gone_through():
    """Who goes through them has them as they were when it began."""
    sources = configure_sources(Settings())
    layer = "maricopa_parcels"
    before = list(sources)
    views = [iter(sources), iter(sources.keys()), iter(sources.values()), iter(sources.items())]
    for view in views:
        next(view)

    config = sources.pop(before[0])
    sources["one_more"] = sources["another"] = config

    assert [1 + sum(1 for _ in view) for view in views] == [len(before)] * 4
    assert (layer in sources, list(sources)[-2:]) == (True, ["one_more", "another"])
    assert dict(sources) == {**sources} == dict(sources.items())
