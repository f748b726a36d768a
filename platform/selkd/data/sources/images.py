"""Image files: what their headers say, and their pixels."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from selkd.errors import UserError

GREY = {"1", "L", "LA"}
COLOUR = {"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"}
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def layout(path: Path, content: bytes) -> tuple[int, int, int]:
    """Channels (1 grey, 3 colour), height and width of a file's content, from its header alone."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, (width, height) = image.mode, image.size
    except Exception as error:  # decoders raise many kinds
        raise UserError(unreadable(path, error)) from error
    if mode not in GREY | COLOUR:
        raise UserError(f"{path}: pixels of kind {mode!r} are not read. Convert it to 8 bits a channel.")
    return (1 if mode in GREY else 3), height, width


def decode(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Pixels [C, H, W]: the largest centred window of the right aspect, scaled."""
    channels, height, width = shape
    try:
        with Image.open(path) as image:
            pixels = image.convert("L" if channels == 1 else "RGB")
    except Exception as error:
        raise UserError(unreadable(path, error)) from error
    if pixels.size != (width, height):
        pixels = ImageOps.fit(pixels, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(pixels).reshape(height, width, channels).transpose(2, 0, 1)


def unreadable(path: Path, error: Exception) -> str:
    return f"{path}: cannot be read as an image ({str(error) or type(error).__name__}). Repair or remove it."
