"""Still images: bytes to pixels and back, by content, without any metadata.

Decoding refuses what it cannot represent faithfully (animations, more than 8 bits per channel, damaged or
huge files); encoding stores the pixels as the source did and nothing besides them.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, UnidentifiedImageError
from PIL.Image import Transpose

from dsanon.errors import BadImage
from dsanon.sample import Encoding, Photo, Pixels, Sample, Unreadable

MAX_PIXELS = 178_956_970  # where Pillow, too, speaks of a decompression bomb: 512 MiB as RGB
MAX_BYTES = 512 * 2**20
MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}  # pixels that a format can hold each way
READABLE = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")

_GREY = {"1", "L", "LA", "La"}
_MODES = _GREY | {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def decode(data: bytes, size: tuple[int, int] | None = None, located: bool = False) -> tuple[Pixels, Encoding]:
    """Upright 8-bit sRGB pixels (h, w, 3) of an image file, and how it was stored.

    ``size`` is the (width, height) that an annotation states: the upright picture must have it, or the
    annotation's coordinates mean other pixels. ``located``: there are such coordinates, so that a picture which an
    EXIF tag turns is refused unless its size tells that they are those of the upright one. Transparency is composited
    on white, so that colours hidden below it (perhaps a face) are gone for good. Raises BadImage, whose message never
    names the file.
    """
    if not data:
        raise BadImage("the file is empty: expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=READABLE) as image:
                return _decode(image, data, size, located)
    except (BadImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        raise _too_large(int(found[0]) if found else 2 * MAX_PIXELS) from None
    except UnidentifiedImageError:
        raise BadImage(f"not an image that can be read: expected one of {', '.join(READABLE)}") from None
    except Exception as error:  # Pillow's parsers raise nearly anything on damaged input
        what = "truncated" if "truncated" in str(error) else f"damaged ({type(error).__name__})"
        raise BadImage(f"the image is {what}: replace the file") from None


def encode(pixels: Pixels, encoding: Encoding) -> bytes:
    """The bytes of an image file as ``encoding`` describes it, without any metadata; the same bytes every time.

    JPEG takes the source's quantisation tables, so that a block that nobody touched comes out nearly the same
    (quality 95 where there are none). PNG, BMP, TIFF, PPM and WebP of a lossless source are exact; WebP of a
    lossy source has quality 95; GIF is reduced to 256 colours. Raises BadImage for more pixels than fit the format.
    """
    most = MAX_SIDE.get(encoding.format)
    if most and max(pixels.shape[:2]) > most:
        raise BadImage(f"{max(pixels.shape[:2])} pixels long, but named a {encoding.format}, which ends at {most}")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if encoding.grey:
        image = image.convert("L")
    match encoding.format:
        case "JPEG":
            return _encode_jpeg(image, encoding)
        case "WEBP":
            return _save(image, "WEBP", lossless=encoding.subsampling == 0, quality=95, method=4)
        case "TIFF":
            return _save(image, "TIFF", compression="tiff_lzw")
        case "PNG" | "BMP" | "PPM" | "GIF":
            return _save(image, encoding.format)
    raise ValueError(f"no encoder for {encoding.format!r}: expected one of {', '.join(READABLE)}")


def read_photo(root: Path, sample: Sample) -> Photo | Unreadable:
    """The decoded sample, or why it has none (never naming a file or a person).

    Only a regular file is read: a symbolic link could lead out of the source, a pipe would wait for ever.
    """
    if sample.problem:
        return Unreadable(sample.problem)
    if not safe_path(sample.file):
        return Unreadable("the path leaves the source: expected one below it")
    return photo_of(read_regular(root / sample.file), sample)


def photo_of(data: bytes | Unreadable, sample: Sample) -> Photo | Unreadable:
    """The decoded sample from its file's bytes, or why it has none (never naming a file or a person)."""
    if sample.problem:
        return Unreadable(sample.problem)
    if not safe_path(sample.file):
        return Unreadable("the path leaves the source: expected one below it")
    if isinstance(data, Unreadable):
        return data
    if len(data) > MAX_BYTES:
        return Unreadable(f"the file is larger than the {MAX_BYTES} bytes that are read")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        pixels, encoding = decode(data, sample.size, sample.located)
    except BadImage as error:
        return Unreadable(str(error), sha256)
    except MemoryError:
        return Unreadable("not enough memory to decode the image", sha256)
    return Photo(pixels, encoding, sha256)


def read_regular(path: Path) -> bytes | Unreadable:
    """The bytes of a regular file of at most ``MAX_BYTES``; it is opened once and neither followed nor waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                return Unreadable("not a regular file (a folder, pipe or device): expected an image file")
            with os.fdopen(handle, "rb", closefd=False) as file:
                data = file.read(MAX_BYTES + 1) if found.st_size <= MAX_BYTES else b""
            if max(found.st_size, len(data)) > MAX_BYTES:
                return Unreadable(f"the file is larger than the {MAX_BYTES} bytes that are read")
            return data
        finally:
            os.close(handle)
    except MemoryError:
        return Unreadable("not enough memory to read the file")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if getattr(error, "errno", None) == errno.ELOOP:  # what O_NOFOLLOW answers
            return Unreadable("a symbolic link: expected a regular file")
        return Unreadable(f"the file cannot be read: {getattr(error, 'strerror', None) or 'impossible name'}")


def image_size(path: Path | io.BytesIO) -> tuple[int, int] | None:
    """(width, height) from the header of a regular image file, before any EXIF orientation; None where it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=READABLE) as image:
                return image.size
    except Exception:  # reading the sample will say why
        return None


def safe_path(path: str) -> bool:
    """Whether a relative posix path stays below the folder that it starts from, read as text."""
    parts = path.split("/")
    return "\0" not in path and all(part not in ("", ".", "..") for part in parts)


def _decode(image: Image.Image, data: bytes, size: tuple[int, int] | None, located: bool) -> tuple[Pixels, Encoding]:
    kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG with a second picture behind it
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(image.width * image.height)
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise BadImage("several frames in one file (an animation or pages): expected one still image")
    bits = _bits(image, data)
    if bits > 8:
        raise BadImage(f"{bits} bits per channel: convert it to 8 bits first")
    if image.mode not in _MODES:
        raise BadImage(f"colour mode {image.mode}: convert it to RGB first")
    encoding = _encoding(image, kind, data)

    # Pillow turns TIFF by itself while loading; PNG's EXIF may stand behind the pixels
    turned = kind == "TIFF"
    orientation = image.tag_v2.get(_ORIENTATION, 1) if turned else 1  # type: ignore[attr-defined]
    image.load()
    if not turned:
        orientation = _orientation(image)
    if orientation not in _UPRIGHT:
        orientation = 1
    rgb = _to_srgb(image)
    if not turned and orientation != 1:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    if size is not None and rgb.size != size:
        if orientation >= 5 and rgb.size == size[::-1]:
            raise BadImage(
                f"EXIF orientation contradicts the annotation's size {size[0]}x{size[1]}:"
                " turn the pixels or the annotation and drop the tag"
            )
        raise BadImage(
            f"{rgb.width}x{rgb.height} pixels, but the annotation states {size[0]}x{size[1]}: correct one of them"
        )
    if located and orientation != 1 and (orientation < 5 or size is None or rgb.width == rgb.height):
        raise BadImage(
            f"EXIF orientation {orientation}, and nothing tells whether the annotation's coordinates are those of the"
            " upright picture: re-save the picture upright, without the tag"
        )
    return np.array(rgb), encoding


def _too_large(pixels: int) -> BadImage:
    return BadImage(f"{pixels / 1e6:.0f} megapixels: at most {MAX_PIXELS / 1e6:.0f} are read, shrink it first")


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel; Pillow itself silently drops half of them when it opens a 16-bit RGB file."""
    if image.mode.startswith("I;16"):
        return 16
    if image.mode in ("I", "F"):
        return 16 if image.format in ("PNG", "PPM") and image.mode == "I" else 32
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        found = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]
        return int(max(found) if isinstance(found, tuple) else found)
    if image.format == "PPM" and isinstance(image, ImageFile.ImageFile):
        args: Any = image.tile[0][3]
        return 16 if isinstance(args, tuple) and args[-1] > 255 else 8
    return 8


def _encoding(image: Image.Image, kind: str, data: bytes) -> Encoding:
    grey = image.mode in _GREY
    if kind == "WEBP":  # the pixels' own chunk tells VP8L (lossless) from VP8 (lossy, always 4:2:0)
        return Encoding(kind, grey, subsampling=0 if _riff_has(data, b"VP8L") else 2)
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return Encoding(kind, grey)
    tables = [image.quantization.get(layer[3]) for layer in image.layer[:2]]
    usable = all(table is not None and len(table) == 64 and 1 <= min(table) <= max(table) for table in tables)
    sampling = JpegImagePlugin.get_sampling(image)
    return Encoding(
        kind,
        grey,
        qtables=tuple(tuple(table) for table in tables if table is not None) if usable else (),
        subsampling=0 if sampling == -1 and not grey else sampling,
        progressive=bool(image.info.get("progressive")),
    )


def _riff_has(data: bytes, name: bytes) -> bool:
    start = 12
    while start + 8 <= len(data):
        if data[start : start + 4] == name:
            return True
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        start += 8 + length + length % 2
    return False


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF beside sound pixels: other readers ignore it, too
        return 1
    return found if isinstance(found, int) else 1


def _to_srgb(image: Image.Image) -> Image.Image:
    """RGB of any mode: alpha on white, CMYK and other profiles through their ICC profile where it can be used."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK":
        return _through_profile(image, profile, "CMYK") or image.convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        flat = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        flat.alpha_composite(layered)
        image = flat.convert("RGB")
    grey = image.mode in _GREY
    rgb = image.convert("RGB")
    return rgb if grey else _through_profile(rgb, profile, "RGB ") or rgb


def _through_profile(image: Image.Image, profile: object, space: str) -> Image.Image | None:
    """``image`` in sRGB; None where ``profile`` is missing, damaged, of another colour space or sRGB already."""
    if not isinstance(profile, bytes):
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != space or "sRGB" in (source.profile.profile_description or ""):
            return None
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _encode_jpeg(image: Image.Image, encoding: Encoding) -> bytes:
    options: dict[str, Any] = {"quality": 95, "subsampling": 0}
    if encoding.qtables:
        tables = encoding.qtables[:1] if encoding.grey else encoding.qtables
        # without a quality, which would scale the tables
        options = {"qtables": [list(table) for table in tables], "subsampling": encoding.subsampling}
    if encoding.progressive:
        try:
            return _save(image, "JPEG", progressive=True, **options)
        except OSError:  # Pillow's buffer is still too small for noise at the finest tables
            pass
    return _save(image, "JPEG", **options)


def _save(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
