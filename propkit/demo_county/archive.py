"""The recorder's archive: parcels' deeds, further documents of popular names, and rows of 1947."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from propkit.demo_county import deeds, draw, facts, places
from propkit.demo_county.parcel import Document
from propkit.demo_county.truth import CountyTruth

# Who has how many further documents: beyond 501, beyond one page of 200, and a few.
POPULAR = (
    ("OCOTILLO PAT", 640), ("CHOLLA SAM", 260), ("AGAVE LEE", 52), ("SAGUARO HOLDINGS LLC", 30),
)  # fmt: skip
SEED_ROWS = 600


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of a search: one name of one document."""

    number: int
    suffix: str
    name: str
    document: Document


def further_documents(seed: int) -> list[Document]:
    """Return the documents that belong to no parcel, some with a second one of suffix "A"."""
    random = draw.stream(seed, 0, draw.DOCUMENT)
    found: list[Document] = []
    slot = 0
    for name, count in POPULAR:
        for place in range(count):
            weeks, days = random.randrange(2350), random.randrange(5)
            day = date(1981, 1, 5) + timedelta(weeks=weeks, days=days)
            # The day's last 2,000 numbers; the slot never repeats within one archive.
            number = day.timetuple().tm_yday * places.NUMBERS_A_DAY + places.DEEDS_A_DAY + slot
            slot += 1
            book, page = deeds.docket(random, day)
            is_plain = name.endswith("LLC") or place % 4 == 0
            middle = "" if is_plain else f" {'ABCDEFGHIJ'[place % 10]}"
            codes = random.sample(facts.OTHER_CODES, random.choice((1, 1, 1, 1, 2, 3)))
            document = Document(
                recording_number=f"{day.year}{number:07d}",
                suffix="",
                recorded_on=day,
                codes=tuple(codes),
                names=(f"{name}{middle}", "SAGUARO HOLDINGS LLC")[: 1 + (place % 6 == 0)],
                page_count=random.randint(1, 20),
                docket_book=book,
                docket_page=page,
                is_restricted=random.random() < 0.03,
            )
            found.append(document)
            if place % 25 == 7:
                found.append(replace(document, suffix="A", page_count=1, codes=("CORR D/T",)))
    return found


def seed_documents() -> list[Document]:
    """Return the rows of 1947 that the real search answers when it ignored every filter."""
    found = []
    for place in range(SEED_ROWS):
        day = date(1947, 1, 2) + timedelta(days=place * 363 // SEED_ROWS)
        found.append(
            Document(
                recording_number=f"1947{1704 + place * 31:07d}",
                suffix="",
                recorded_on=day,
                codes=("PART REL", "REL MTG")[: 1 + (place % 4 == 0)],
                names=(f"{facts.SURNAMES[place % 40]} {facts.FIRST_NAMES[place % 29]}",),
                page_count=1,
                docket_book=15 + place // 60 if place % 3 else None,
                docket_page=1 + place % 400 if place % 3 else None,
                is_restricted=False,
            )
        )
    return found


class Archive:
    """All recorded documents, by number and by name; the names are read at the first search."""

    def __init__(self, truth: CountyTruth) -> None:
        self._truth = truth
        self.seed_hits = [hit for document in seed_documents() for hit in _hits(document)]
        further = further_documents(truth.seed)
        self._further = further
        self._others = {(d.recording_number, d.suffix): d for d in further}
        self._others |= {(h.document.recording_number, ""): h.document for h in self.seed_hits}
        self._by_name: dict[str, list[Hit]] | None = None

    def find(self, number: str, suffix: str = "") -> Document | None:
        """Return the document with this number and suffix; None when there is none."""
        other = self._others.get((number, suffix))
        if other is not None or suffix:
            return other
        return self._truth.deed_document(number)

    def by_first_word(self) -> dict[str, list[Hit]]:
        """Return all names' hits by the first word of the name, by ascending number."""
        if self._by_name is None:
            found: dict[str, list[Hit]] = defaultdict(list)
            for hit in self._all_hits():
                found[hit.name.split(" ")[0]].append(hit)
            self._by_name = {word: sorted(found[word], key=by_number) for word in found}
        return self._by_name

    def _all_hits(self) -> Iterator[Hit]:
        for document in self._further:
            yield from _hits(document)
        for index in range(self._truth.size):
            document_of_parcel = self._truth.document(index)
            if document_of_parcel is not None:
                yield from _hits(document_of_parcel)


def by_number(hit: Hit) -> tuple[int, str, str]:
    """Return the order of the search: ascending recording number."""
    return (hit.number, hit.suffix, hit.name)


def _hits(document: Document) -> Iterator[Hit]:
    for name in document.names:
        yield Hit(int(document.recording_number), document.suffix, name, document)
