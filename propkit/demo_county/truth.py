"""The truth about the county: every parcel, made when first asked for, always the same.

A parcel is a pure function of the seed and its index, so the number of parcels costs nothing
until a search by owner or address first reads them all.
"""

from __future__ import annotations

import random as random_module
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache

from propkit.demo_county import deeds, draw, facts, houses, owners, places, tables, taxes, values
from propkit.demo_county.parcel import Document, Head, Parcel


class CountyTruth:
    """The county's parcels by index, by APN and by recording number."""

    def __init__(self, parcels: int = 2000, seed: int = 7) -> None:
        if not 1 <= parcels <= places.MAX_PARCELS:
            raise ValueError(
                f"the demo county holds 1 to {places.MAX_PARCELS:,} parcels, not {parcels!r}"
            )
        if seed < 0:
            raise ValueError(f"the seed of the demo county is a number from 0 up, not {seed!r}")
        self.size = parcels
        self.seed = seed
        self.head = lru_cache(maxsize=places.MAX_PARCELS)(self._make_head)
        self.parcel = lru_cache(maxsize=20_000)(self._make_parcel)

    def __len__(self) -> int:
        return self.size

    def apns(
        self, count: int | None = None, *, skip: int = 0, seed: int | None = None
    ) -> list[str]:
        """Return APNs in the county's order, or a random sample when a seed is given."""
        size = min(self.size if count is None else count, self.size)
        if seed is None:
            indices: Iterable[int] = range(skip, min(skip + size, self.size))
        else:
            indices = random_module.Random(seed).sample(range(self.size), size)
        return [self.head(index).apn for index in indices]

    def index_of(self, apn: str) -> int | None:
        """Return the parcel with exactly this APN (dashes, dots, spaces do not matter)."""
        plain = places.normalise_apn(apn)
        if plain is None:
            return None
        index = places.index_of_body(self.seed, plain)
        if index is None or index >= self.size or self.head(index).apn != plain:
            return None
        return index

    def find(self, apn: str) -> Parcel | None:
        """Return the parcel with exactly this APN; None when the county has none."""
        index = self.index_of(apn)
        return None if index is None else self.parcel(index)

    def deed_document(self, recording_number: str) -> Document | None:
        """Return the recorded deed with this number; None when the recorder has none."""
        for index in places.indices_of_recording_number(self.seed, recording_number):
            if index >= self.size:
                break
            document = self.document(index)
            if document and document.recording_number == recording_number:
                return document
        return None

    def document(self, index: int) -> Document | None:
        """Return the recorded deed of one parcel, without making the rest of the parcel."""
        head = self.head(index)
        deed = deeds.make_deed(draw.stream(self.seed, index, draw.DEED), self.seed, head)
        return deeds.make_document(draw.stream(self.seed, index, draw.DOCUMENT), head, deed)

    def heads(self) -> Iterator[Head]:
        """Yield what searches show of every parcel, in the county's order."""
        return map(self.head, range(self.size))

    def block_heads(self, block: int) -> list[Head]:
        """Return the parcels on one map page that the assessor knows."""
        first = block * places.PARCELS_PER_BLOCK
        last = min(first + places.PARCELS_PER_BLOCK, self.size)
        return [h for h in map(self.head, range(first, last)) if h.is_in_assessor]

    @property
    def blocks(self) -> range:
        """Return the numbers of the map pages in use."""
        return range(-(-self.size // places.PARCELS_PER_BLOCK))

    @cached_property
    def blocks_by_mcr(self) -> dict[str, list[int]]:
        """Map each recorded plat to its map pages."""
        return self._blocks_by("mcr")

    @cached_property
    def blocks_by_str(self) -> dict[str, list[int]]:
        """Map each section, township and range ("131N4E") to its map pages."""
        return self._blocks_by("section_township_range")

    def tables(
        self, wanted: Iterable[int | str], *, details: bool = False
    ) -> dict[str, list[dict[str, object]]]:
        """Return what propkit should hold of some parcels (by index or APN), as typed rows.

        With `details` it is what further pages say, which are not asked for by themselves.
        """
        found = (self.index_of(key) if isinstance(key, str) else key for key in wanted)
        render = tables.render_details if details else tables.render
        return render(self.parcel(i) for i in found if i is not None and 0 <= i < self.size)

    def _blocks_by(self, attribute: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for number in self.blocks:
            key = getattr(places.block_of(self.seed, number), attribute)
            if key is not None:
                found[key].append(number)
        return dict(found)

    def _make_head(self, index: int) -> Head:
        return owners.make_head(self.seed, index)

    def _make_parcel(self, index: int) -> Parcel:
        head = self.head(index)
        house = draw.stream(self.seed, index, draw.HOUSE)
        deed_stream = draw.stream(self.seed, index, draw.DEED)
        residence = houses.make_residence(house, head.property_type)
        deed = deeds.make_deed(deed_stream, self.seed, head)
        valuations = values.make_valuations(
            draw.stream(self.seed, index, draw.VALUES),
            head.property_type,
            residence,
            is_rental=head.is_rental,
        )
        has_place = house.random() >= 0.0032
        block = head.block
        lot = index % places.PARCELS_PER_BLOCK + 1
        legal = f"{block.subdivision} MCR {block.mcr} LOT {lot}"
        if block.subdivision is None:
            legal = f"PT SEC {block.section} T{block.township} R{block.range_} TRACT {lot}"
        return Parcel(
            head=head,
            legal_description=legal,
            lot_size_sqft=round(draw.at_quantile(facts.LOT_SIZE_SQFT, house.random())),
            latitude=round(block.latitude + lot % 8 * 0.0003, 6) if has_place else None,
            longitude=round(block.longitude + lot // 8 * 0.0003, 6) if has_place else None,
            residence=residence,
            improvements=houses.make_improvements(head, residence),
            deed=deed,
            sale=deeds.make_sale(deed_stream, deed),
            valuations=valuations,
            tax_bills=taxes.make_tax_bills(draw.stream(self.seed, index, draw.TAXES), valuations),
            document=deeds.make_document(draw.stream(self.seed, index, draw.DOCUMENT), head, deed),
        )
