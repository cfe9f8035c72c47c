"""The images that a row names: found inside one folder, and checked by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from propkit.posters import PosterLimits

_STARTS: Final = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF87a", b"GIF89a"),
}
_SAMPLE_BYTES: Final = 65_536


def find_images(
    names: Sequence[str], folder: Path | None, limits: PosterLimits
) -> tuple[tuple[Path, ...], list[str]]:
    """Return the images of a row, absolute and in order, and every fault.

    Nothing outside ``folder`` is taken, neither by ``..`` nor through a link.
    """
    faults: list[str] = []
    if len(names) < limits.images_min:
        faults.append(f"{len(names)} images, at least {limits.images_min} are needed")
    if limits.images_max is not None and len(names) > limits.images_max:
        faults.append(f"{len(names)} images, the site takes {limits.images_max}")
    if names and folder is None:
        return (), [*faults, "images are named, but images_dir is not given"]
    paths = []
    for name in names:
        try:
            paths.append(_check(name, folder or Path(), limits))
        except (OSError, ValueError) as error:
            faults.append(f"image {name!r} {_reason(error)}")
    return tuple(paths), faults


def hash_images(paths: Sequence[Path]) -> str:
    """Return a hash of images by their size, beginning and end; empty where there are none.

    Hundreds of photos are not read whole for it, and one that was made anew differs in these.

    Raises
    ------
    OSError
        One cannot be read.
    """
    told = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            told.update(f"{size}\n".encode())
            for start in (0, max(0, size - _SAMPLE_BYTES)):
                file.seek(start)
                told.update(file.read(_SAMPLE_BYTES))
    return told.hexdigest()[:16] if paths else ""


def image_type(start: bytes) -> str | None:
    """Tell an image by its first bytes: ``jpeg``, ``png``, ``gif`` or ``webp``."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((name for name, starts in _STARTS.items() if start.startswith(starts)), None)


def _check(name: str, folder: Path, limits: PosterLimits) -> Path:
    base = folder.resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise ValueError(f"lies outside {base}")
    if not path.is_file():
        raise ValueError("does not exist" if not path.exists() else "is no file")
    with path.open("rb") as file:
        kind = image_type(file.read(16))
    if kind not in limits.image_types:
        expected = " or ".join(limits.image_types)
        raise ValueError(f"is {kind or 'no image'} by its content, expected {expected}")
    size = path.stat().st_size
    if limits.image_bytes_max is not None and size > limits.image_bytes_max:
        raise ValueError(f"has {size:,} bytes, the site takes {limits.image_bytes_max:,}")
    return path


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return "is no file name" if "null" in str(error) else str(error)
