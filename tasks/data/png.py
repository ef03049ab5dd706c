"""Pixels as PNG, with nothing but zlib: the format is a header, and rows that are compressed."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from ...errors import TrackingError

__all__ = ["as_pixels", "png_of"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB and RGBA by the number of channels
_SHAPES = "height x width, or height x width x 1, 3 or 4"


def as_pixels(image: Any) -> Any:
    """Give an image as uint8[height, width, channels].

    Args:
        image: uint8, bool, or float from 0 to 1, of a shape as said; what numpy can make an array of.

    Raises:
        TrackingError: It has another shape, type or range.
    """
    import numpy as np

    try:
        array = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrackingError(f"log_image cannot read a {type(image).__name__} as an image ({error}).") from error
    pixels = array[:, :, None] if array.ndim == 2 else array
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOUR_TYPES or 0 in pixels.shape:
        raise TrackingError(f"log_image takes an array of {_SHAPES}; this one has the shape {array.shape}.")
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8) * 255
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f" or not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN is neither
        raise TrackingError(
            f"log_image takes uint8 from 0 to 255, or floats from 0 to 1; this array is {array.dtype} with values"
            f" from {pixels.min()} to {pixels.max()}."
        )
    return np.rint(pixels * 255).astype(np.uint8)


def png_of(pixels: Any) -> bytes:
    """Encode uint8[height, width, channels]."""
    import numpy as np

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
