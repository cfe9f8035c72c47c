"""From an ArcGIS answer's columns to those of parcels, a whole column at a time.

The values are those that :mod:`propkit.layers.fields` and :mod:`propkit.layers.geometry` read one
by one. Both are still asked for what is not plain: text beyond ASCII, text in place of a number, an
outline of several rings.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from propkit.features import Features
from propkit.layers.fields import (
    ABSENT,
    FIRST_DAY,
    LAST_DAY,
    MOST,
    NUMBERS,
    TEXTS,
    Field,
    read_texts,
    read_values,
    substitute,
)
from propkit.layers.geometry import read_esri

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.float64]

_DAY: Final = 86_400_000
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000, 253_402_300_799_999
"""Milliseconds since 1970: the first of the year 1, and the last of 9999."""
_RING_HEAD: Final = 13
_FEWEST_CORNERS: Final = 3
_ABSENT_SPELLINGS: Final = [
    "".join(letters)
    for word in sorted(ABSENT)
    for letters in product(*(sorted({letter, letter.upper()}) for letter in word))
]


def read_features_column(
    column: str, field: Field, names: list[str], features: Features
) -> tuple[pa.Array, str | None]:
    """Return a column's values, and what is odd about them; ``names`` as the layer spells them.

    Raises
    ------
    LayoutChangedError
        Most of the values are no such thing.
    """
    import pyarrow as pa

    held = [features.columns[name] for name in names]
    if column in TEXTS:
        if not any(pa.types.is_floating(one.type) for one in held):
            return _read_texts(held, field), None
    elif len(held) == 1 and field.pattern is None and not pa.types.is_string(held[0].type):
        read = _read_times(held[0]) if column == "deed_date" else None
        if column in NUMBERS:
            read = _read_numbers(held[0], field.factor, is_whole=column == "lot_size_sqft")
        if read is not None:
            return read, None
    values, note = read_values(column, field, [one.to_pylist() for one in held])
    kinds = {"is_rental": pa.bool_(), "lot_size_sqft": pa.int64(), "deed_date": pa.date32()}
    kind = pa.string() if column in TEXTS else kinds.get(column, pa.float64())
    return pa.array(values, kind), note


def read_outlines(shapes: pa.StructArray) -> tuple[pa.BinaryArray, Numbers, Numbers]:
    """Return geometries as WKB with the longitudes and latitudes of their centroids.

    What has no place has neither: a null, and no number (nan).
    """
    import numpy as np
    import pyarrow as pa

    rings = shapes.flatten()[0]
    count = len(shapes)
    outlines: list[bytes | None] = []
    xs, ys = np.full(count, np.nan), np.full(count, np.nan)
    plain = _find_plain(rings)
    if plain is None:
        is_plain = np.zeros(count, bool)
    else:
        is_plain, lengths, corners = plain
        xs[is_plain], ys[is_plain] = _find_centres(lengths, corners)
    others = np.flatnonzero(~is_plain)
    for place in others:
        outline, centre = read_esri(shapes[int(place)].as_py())
        outlines.append(outline)
        if centre is not None:
            xs[place], ys[place] = centre
    if plain is None:
        return pa.array(outlines, pa.binary()), xs, ys
    written = _write_plain(lengths, corners)
    if not len(others):
        return written, xs, ys
    places = np.empty(count, np.int64)
    places[is_plain], places[others] = (
        np.arange(len(written)),
        len(written) + np.arange(len(others)),
    )
    return pa.concat_arrays([written, pa.array(outlines, pa.binary())]).take(places), xs, ys


# --- texts ------------------------------------------------------------------------------------


def _read_texts(held: list[pa.Array], field: Field) -> pa.Array:
    import pyarrow as pa
    from pyarrow import compute as pc

    read, *more = (_clean(one) for one in held)
    for texts in more:
        # Not all at once: of rows without any text Arrow 26 leaves out some, where it skips nulls.
        both = pc.binary_join_element_wise(read, texts, field.separator)
        read = pc.coalesce(both, read, texts)
    if more:
        read = _clean(read)
    if field.pattern is None:
        return read
    each = read.dictionary_encode()  # what comes again and again is read once
    values = pa.array(read_texts(substitute(field, each.dictionary.to_pylist())), pa.string())
    return values.take(each.indices)


def _clean(texts: pa.Array) -> pa.Array:
    """Return texts trimmed, blanks in them folded, and what stands for nothing as null."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import compute as pc

    if not pa.types.is_string(texts.type):
        return texts.cast(pa.string())
    letters = np.frombuffer(_letters(texts), np.uint8)
    if ((letters - ord(" ")) > ord("~") - ord(" ")).any():
        return pa.array(read_texts(texts.to_pylist()), pa.string())
    texts = pc.ascii_trim(texts, " ")
    if b"  " in _letters(texts):
        texts = pc.replace_substring_regex(texts, " +", " ")
    is_absent = pc.is_in(texts, pa.array(_ABSENT_SPELLINGS, pa.string()))
    return pc.if_else(is_absent, None, texts)


def _letters(texts: pa.Array) -> bytes:
    """Return all texts, one behind the other."""
    import numpy as np

    _, ends, letters = texts.buffers()
    if letters is None:
        return b""
    places = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return bytes(letters.slice(int(places[0]), int(places[-1] - places[0])))


# --- numbers ----------------------------------------------------------------------------------


def _read_numbers(values: pa.Array, factor: float | None, *, is_whole: bool) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    is_none = ~(np.abs(numbers) < MOST)
    if factor is not None:
        numbers = numbers * factor
        is_none |= ~(np.abs(numbers) < MOST)
    if is_whole:
        numbers = np.rint(np.where(is_none, 0.0, numbers)).astype(np.int64)
    return pa.array(numbers, mask=is_none)


def _read_times(times: pa.Array) -> pa.Array | None:
    """Return milliseconds since 1970 as days; None where some may be something else."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_integer(times.type):
        return None
    numbers = times.fill_null(0).to_numpy(zero_copy_only=False)
    is_day = (numbers >= FIRST_DAY) & (numbers <= LAST_DAY)
    if (is_day | (numbers < _FIRST_TIME) | (numbers > _LAST_TIME)).any():
        return None
    days = np.floor_divide(numbers, _DAY).astype(np.int32)
    return pa.array(days, mask=numbers == 0).cast(pa.date32())


# --- outlines ---------------------------------------------------------------------------------


def _find_plain(
    rings: pa.Array,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], Numbers] | None:
    """Return which outlines are of one ring, the corners in each of those, and the corners.

    None where there is none, or a corner that is not two numbers.
    """
    import numpy as np

    each = rings.flatten()
    points = each.flatten()
    numbers = points.flatten()
    if each.null_count or points.null_count or numbers.null_count:
        return None
    if len(numbers) != 2 * len(points) or (_count(points) != 2).any():
        return None
    corners = numbers.to_numpy().reshape(-1, 2)
    counts, lengths = _count(rings), _count(each)
    outer = np.repeat(np.arange(len(counts)), counts)
    is_plain = counts == 1
    is_plain[outer[lengths < _FEWEST_CORNERS]] = False
    if not is_plain.any():
        return None
    of_plain = is_plain[outer]
    return is_plain, lengths[of_plain], corners[np.repeat(of_plain, lengths)]


def _count(lists: pa.Array) -> npt.NDArray[np.int64]:
    """Return the length of each list; that of none is 0."""
    import numpy as np

    counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(counts, np.int64)


def _find_centres(lengths: npt.NDArray[np.int64], corners: Numbers) -> tuple[Numbers, Numbers]:
    """Return the centroids of rings, as :func:`propkit.layers.geometry.read_esri` finds them."""
    import numpy as np

    starts = np.cumsum(lengths) - lengths
    ring = np.repeat(np.arange(len(lengths)), lengths)
    first = corners[starts]
    x, y = (corners - first[ring]).T
    px, py = np.roll(x, 1), np.roll(y, 1)  # of a first corner the last one's: times 0
    cross = px * y - x * py
    # One after the other, so that the sums are the same to the last bit.
    area, cx, cy = (
        np.bincount(ring, weights) for weights in (cross, (px + x) * cross, (py + y) * cross)
    )
    has_area = area != 0.0
    whole = 3 * np.where(has_area, area, 1.0)
    return (
        np.where(has_area, first[:, 0] + cx / whole, first[:, 0]),
        np.where(has_area, first[:, 1] + cy / whole, first[:, 1]),
    )


def _write_plain(lengths: npt.NDArray[np.int64], corners: Numbers) -> pa.BinaryArray:
    """Return polygons of one ring as WKB."""
    import numpy as np
    import pyarrow as pa

    count = len(lengths)
    head = np.empty(count, np.dtype("u1, <u4, <u4, <u4"))
    head["f0"], head["f1"], head["f2"], head["f3"] = 1, 3, 1, lengths
    ends = np.zeros(count + 1, np.int32)
    np.cumsum(_RING_HEAD + corners.itemsize * 2 * lengths, out=ends[1:])
    written = np.empty(int(ends[-1]), np.uint8)
    is_corner = np.ones(len(written), bool)
    heads = ends[:-1, None] + np.arange(_RING_HEAD)
    is_corner[heads] = False
    written[heads] = head.view(np.uint8).reshape(count, _RING_HEAD)
    written[is_corner] = corners.astype("<f8").reshape(-1).view(np.uint8)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(written)]
    return pa.Array.from_buffers(pa.binary(), count, buffers)
