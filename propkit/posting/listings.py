"""From rows of a sheet to listings: read, checked against what the site takes, and hashed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from propkit.posters import Listing, PosterLimits
from propkit.posting.cells import list_of, price_of, text_of
from propkit.posting.images import find_images, hash_images
from propkit.posting.table import Row, Table


@dataclass(frozen=True, slots=True)
class Checked:
    """A row as a listing, the hash of its content, and what is wrong with it.

    After a dash the hash has that of the images' own content, see :func:`is_same_listing`.
    """

    listing: Listing
    content_sha256: str
    faults: tuple[str, ...] = ()


def find_key_faults(table: Table) -> list[str]:
    """Return what is wrong with the rows' keys: empty ones and repeated ones."""
    keys = [table.key(row) for row in table.rows]
    faults = [
        f"row {row.label}: no key" for row, key in zip(table.rows, keys, strict=True) if not key
    ]
    counts = Counter(key for key in keys if key)
    faults += [f"key {key!r} stands in {n} rows" for key, n in counts.items() if n > 1]
    return faults


def read_listing(
    table: Table, row: Row, limits: PosterLimits, images_dir: Path | None, *, has_images: bool
) -> Checked:
    """Read a row; without ``has_images`` what it says of images is left alone."""
    faults: list[str] = []
    price: Decimal | None = None
    try:
        price = price_of(table.cell(row, "price"))
    except ValueError as error:
        if "price" in limits.required:
            faults.append(str(error))
    names = list_of(table.cell(row, "images")) if has_images else ()
    images, image_faults = find_images(names, images_dir, limits) if has_images else ((), [])
    extra = {name: text for name, cell in table.others(row).items() if (text := text_of(cell))}
    for field in ("row_key", "title", "description", "price", "tags", "images"):
        place = table.places.get(field)
        if place is not None and place < len(table.names):
            extra.pop(table.names[place], None)
    listing = Listing(
        row_key=table.key(row),
        title=text_of(table.cell(row, "title")),
        description=text_of(table.cell(row, "description")),
        price=price,
        tags=list_of(table.cell(row, "tags")),
        images=images,
        extra=extra,
    )
    faults += _check(listing, limits, has_price_fault=bool(faults))
    told = _hash(listing)
    try:
        if seen := hash_images(images):
            told = f"{told}-{seen}"
    except OSError as error:
        image_faults.append(f"an image cannot be read: {error.strerror or error}")
    return Checked(listing, told, (*faults, *image_faults))


def is_same_listing(one: str, other: str) -> bool:
    """Whether two hashes are of the same listing; with other pictures it is no other listing."""
    return one.partition("-")[0] == other.partition("-")[0]


def has_other_images(one: str, other: str) -> bool:
    """Whether two hashes tell of the same files with other pictures in them."""
    return is_same_listing(one, other) and one != other and "-" in one and "-" in other


def _check(listing: Listing, limits: PosterLimits, *, has_price_fault: bool) -> list[str]:
    faults = []
    for field in limits.required:
        is_told = has_price_fault if field == "price" else field == "images"
        if not is_told and getattr(listing, field) in ("", None, ()):
            faults.append(f"no {field}")
    title, description = len(listing.title), len(listing.description)
    if limits.title_length_max is not None and title > limits.title_length_max:
        faults.append(f"the title has {title} characters, the site takes {limits.title_length_max}")
    least, most = limits.description_length_min, limits.description_length_max
    if description and least is not None and description < least:
        faults.append(f"the description has {description} characters, {least} are needed")
    if most is not None and description > most:
        faults.append(f"the description has {description} characters, the site takes {most}")
    if limits.tags_max is not None and len(listing.tags) > limits.tags_max:
        faults.append(f"{len(listing.tags)} tags, the site takes {limits.tags_max}")
    return faults


def _hash(listing: Listing) -> str:
    """Return the hash of what would be published; of an image its name stands for it."""
    content = {
        "title": listing.title,
        "description": listing.description,
        "price": None if listing.price is None else str(listing.price),
        "tags": listing.tags,
        "images": [path.name for path in listing.images],
        "extra": sorted(listing.extra.items()),
    }
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
