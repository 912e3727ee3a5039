"""The grid and the timeline as PNG: palette images on a transparent background.

Written with zlib and struct: a palette PNG is four chunks, and an imaging library would be a
dependency for them alone (PNG, third edition, section 11).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbqueue.core import states
from nbqueue.notebook.picture import FEW_FAILED, SOME_FAILED, Grid
from nbqueue.notebook.views import palette

if TYPE_CHECKING:
    import numpy as np

    Pixels = np.ndarray[Any, np.dtype[np.uint8]]

RGBA = tuple[int, int, int, int]

WIDTH = 640
"""Of the grid, in pixels: the width of an output in a narrow window."""

_SIZES = ((16, 13), (11, 9), (8, 7), (6, 5), (4, 4), (3, 3), (2, 2))
"""Pitch and side of a cell, the largest first. Gaps between small cells would look like noise."""

_ROWS = 14
"""Rows up to which larger cells are taken."""


def grid(picture: Grid) -> bytes:
    """Give a PNG of the grid; of no items, one transparent pixel."""
    import numpy as np

    codes = np.frombuffer(picture.codes, np.uint8)
    if not len(codes):
        return encode(np.zeros((1, 1), np.uint8), _colours())
    pitch, side = _size(len(codes))
    across = min(len(codes), WIDTH // pitch)
    down = math.ceil(len(codes) / across)
    cells: Pixels = np.full(across * down, _DIM, np.uint8)
    cells[: len(codes)] = codes
    tiles = _tiles(pitch, side)
    image = tiles[cells.reshape(down, across)].transpose(0, 2, 1, 3)
    return encode(image.reshape(down * pitch, across * pitch), _colours())


def lane(busy: Sequence[float], height: int = 12, across: int = 3) -> bytes:
    """Give a PNG of one worker's lane: the busier a slice of time, the more of it is filled."""
    import numpy as np

    filled = np.rint(np.asarray(busy) * height).astype(int)
    filled[(np.asarray(busy) > 0) & (filled == 0)] = 1
    up = np.arange(height)[::-1, None]
    image = np.where(up < filled[None, :], 1, 2).astype(np.uint8)
    colours = [
        (0, 0, 0, 0),
        (*_rgb(palette.LOOKS[states.STARTED].colour), 255),
        (128, 128, 128, 40),
    ]
    return encode(np.repeat(image, across, axis=1), colours)


def encode(pixels: Pixels, colours: Sequence[RGBA]) -> bytes:
    """Write indices into a palette as PNG."""
    height, width = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", b"".join(bytes(colour[:3]) for colour in colours)),
            _chunk(b"tRNS", bytes(colour[3] for colour in colours)),
            _chunk(b"IDAT", zlib.compress(lines, 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


_EXTRA = {FEW_FAILED: palette.FEW_FAILED, SOME_FAILED: palette.SOME_FAILED}
_DIM = len(states.NAMES) + len(_EXTRA)
"""Index of what waits, where a cell is too small for an outline."""
_NOTHING = _DIM + 1


def _colours() -> list[RGBA]:
    """Give the palette: a colour a code, then `_DIM` and `_NOTHING`."""
    colours = [palette.LOOKS[name].colour for name in states.NAMES]
    colours += [_EXTRA[code] for code in sorted(_EXTRA)]
    found: list[RGBA] = [(*_rgb(colour), 255) for colour in colours]
    return [*found, (128, 128, 128, 70), (0, 0, 0, 0)]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _size(n: int) -> tuple[int, int]:
    """Give the largest cells with which the grid is not taller than a glance."""
    for pitch, side in _SIZES:
        if math.ceil(n / (WIDTH // pitch)) <= _ROWS * (16 // pitch):
            return pitch, side
    return _SIZES[-1]


def _tiles(pitch: int, side: int) -> Pixels:
    """Give a tile a code, and an empty one after them."""
    import numpy as np

    tiles: Pixels = np.full((_DIM + 1, pitch, pitch), _NOTHING, np.uint8)
    for code in range(_DIM):
        ink = _DIM if code == states.PENDING_CODE and side < _OUTLINED else code
        tiles[code, :side, :side] = np.where(_shape(code, side), ink, _NOTHING)
    return tiles


_OUTLINED = 5
"""From this side on there is room for shapes."""


def _shape(code: int, side: int) -> Any:
    """Give which pixels of a cell a state fills: its shape, where there is room for one.

    The shapes are the widget's (`LOOKS` in `static/job/states.js`), in a box of 10 × 10.
    """
    import numpy as np

    v, u = (np.mgrid[:side, :side] + 0.5) * 10 / side
    if side < _OUTLINED or code in _EXTRA:
        return np.ones((side, side), bool)
    away = np.maximum(abs(u - 5), abs(v - 5))
    if code == states.SUCCESS_CODE:  # a square
        return away < 4.2
    if code == states.PENDING_CODE:  # a frame
        return (away < 3.2) & (away > 1.6)
    if code == states.FAILURE_CODE:  # a larger square with a cross cut out
        cross = (abs(u - v) < 1.4) | (abs(u + v - 10) < 1.4)
        return ~(cross & (away < 3.2))
    if code == states.REVOKED_CODE:  # a dash
        return (abs(v - 5) < 1.6) & (abs(u - 5) < 4.5)
    if code == states.RETRY_CODE:  # a hollow diamond
        return (abs(u - 5) + abs(v - 5) <= 5) & (abs(u - 5) + abs(v - 5) > 2)
    return (u > 1) & (abs(v - 5) <= 4.8 * (9.7 - u) / 8.2)  # a triangle: under way
