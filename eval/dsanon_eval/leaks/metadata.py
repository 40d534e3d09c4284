"""What stands in a picture's file beside its pixels: every part of the container is named, and few are allowed.

A release's pictures hold pixels and what decodes them. So the parts that may be there are listed here, and everything
else is told, whatever it says: metadata, comments, profiles, thumbnails, unknown chunks, bytes behind the end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

# markers without a length of their own, and those that hold tables, frame headers and scans
_JPEG_BARE = {0x01, *range(0xD0, 0xD8)}
_JPEG_CODING = {0xC4, 0xDB, 0xDD, *(m for m in range(0xC0, 0xD0) if m not in (0xC4, 0xC8, 0xCC))}
_PNG = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"cHRM", b"sBIT", b"bKGD", b"pHYs"}
_WEBP = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
# TIFF tags that describe pixels: sizes, bits, compression, strips and tiles, colour
_TIFF = frozenset((254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 283, 284, 296, 317, 320, 322, 323,
                   324, 325, 338, 339, 530, 531, 532))  # fmt: skip
_SPARE = 64  # bytes of a TIFF between its parts
_NAMES = {0xE1: "EXIF or XMP", 0xE2: "an ICC profile, or further pictures", 0xED: "IPTC", 0xFE: "a comment"}
_CHUNKS = {
    **{b"eXIf": "EXIF", b"EXIF": "EXIF", b"XMP ": "XMP", b"ICCP": "an ICC profile", b"iCCP": "an ICC profile"},
    **{b"tIME": "a time", b"tEXt": "a text", b"zTXt": "a text", b"iTXt": "a text (XMP, perhaps)"},
}


def beside_pixels(data: bytes) -> list[str]:
    """What the file of a still image holds and must not, in words; a file that ends too early says so. Never raises."""
    for start, parse in _PARSERS.items():
        if data.startswith(start):
            try:
                return list(dict.fromkeys(parse(data)))
            except (IndexError, struct.error, ValueError, OverflowError):
                return ["the file ends in the middle of a part"]
    return ["no kind of image that a release has (JPEG, PNG, WebP, GIF, BMP, TIFF, PPM)"]


def _jpeg(data: bytes) -> Iterator[str]:
    at = 2
    while True:
        if data[at] != 0xFF:
            yield "bytes between two segments of a JPEG"
            at = data.index(b"\xff", at)
        while data[at] == 0xFF:  # fill bytes
            at += 1
        marker = data[at]
        at += 1
        if marker == 0xD9:
            break
        if marker in _JPEG_BARE:
            continue
        length = struct.unpack_from(">H", data, at)[0]
        body = data[at + 2 : at + length]
        if length < 2 or at + length > len(data):
            yield "the file ends in the middle of a part"
            return
        if marker == 0xE0:
            if body[:5] != b"JFIF\0" or len(body) != 14:
                yield "an APP0 segment with a thumbnail, or of an unknown kind"
        elif marker == 0xEE:
            if body[:5] != b"Adobe" or len(body) != 12:
                yield "an APP14 segment of an unknown kind"
        elif marker != 0xDA and marker not in _JPEG_CODING:
            yield f"{_NAMES.get(marker, 'a segment that no decoder needs')} (JPEG marker FF{marker:02X})"
            if b"\xff\xd8\xff" in body:
                yield "an embedded thumbnail"
        at += length
        if marker == 0xDA:
            at = _end_of_scan(data, at)
    if at != len(data):
        yield _behind(len(data) - at)


def _end_of_scan(data: bytes, at: int) -> int:
    """Of the next marker that is no restart; in the coded data FF is followed by 00."""
    while True:
        at = data.index(b"\xff", at)
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2


def _png(data: bytes) -> Iterator[str]:
    at = 8
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if at > len(data):
            yield "the file ends in the middle of a part"
            return
        if name not in _PNG:
            yield f"{_CHUNKS.get(name, 'a chunk that no decoder needs')} (PNG chunk {_printed(name)})"
        if name == b"IEND":
            break
    if at != len(data):
        yield _behind(len(data) - at)


def _webp(data: bytes) -> Iterator[str]:
    if data[8:12] != b"WEBP":
        yield "a RIFF file that is no WebP"
        return
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    at = 12
    while at + 8 <= min(end, len(data)):
        name, length = struct.unpack_from("<4sI", data, at)
        if name not in _WEBP:
            yield f"{_CHUNKS.get(name, 'a chunk that no decoder needs')} (WebP chunk {_printed(name)})"
        at += 8 + length + length % 2
    if at > len(data):
        yield "the file ends in the middle of a part"
    elif at < len(data):
        yield _behind(len(data) - at)


def _gif(data: bytes) -> Iterator[str]:
    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    def blocks(at: int) -> int:
        while data[at]:
            at += 1 + data[at]
        return at + 1

    at, pictures = 13 + table(data[10]), 0
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            pictures += 1
            at = blocks(at + 11 + table(data[at + 9]))
        elif data[at] == 0x21:
            if data[at + 1] != 0xF9:
                yield "a comment or an application's block (GIF extension)"
            at = blocks(at + 2)
        else:
            raise ValueError
    if pictures > 1:
        yield "several pictures in one file"
    if at + 1 != len(data):
        yield _behind(len(data) - at - 1)


def _bmp(data: bytes) -> Iterator[str]:
    stated, start = struct.unpack_from("<I4xI", data, 2)
    width, height, bits, packed = struct.unpack_from("<ii2xHI", data, 18)
    if packed == 0:
        rows = (width * bits + 31) // 32 * 4 * abs(height)
        stated = start + rows
    if start > 14 + struct.unpack_from("<I", data, 14)[0] + 4 * 256 + 16:
        yield "bytes between the header and the pixels of a BMP"
    if len(data) > stated:
        yield _behind(len(data) - stated)
    elif len(data) < stated:
        yield "the file ends in the middle of a part"


def _tiff(data: bytes) -> Iterator[str]:
    order = "<" if data[:2] == b"II" else ">"
    kinds = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
    at = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, at)[0]
    known = 8 + 2 + 12 * count + 4
    for number in range(count):
        tag, kind, values = struct.unpack_from(order + "HHI", data, at + 2 + 12 * number)
        if tag not in _TIFF:
            yield f"a tag that no decoder needs (TIFF tag {tag})"
        size, place = kinds.get(kind, 1), at + 10 + 12 * number
        if size * values > 4:
            known += size * values
            place = struct.unpack_from(order + "I", data, place)[0]
        if tag in (279, 325):  # byte counts of strips or tiles
            known += sum(struct.unpack_from(order + str(values) + {2: "H", 4: "I"}.get(size, "x"), data, place))
    if struct.unpack_from(order + "I", data, at + 2 + 12 * count)[0]:
        yield "a second picture, perhaps a thumbnail"
    if len(data) > known + _SPARE:
        yield f"{len(data) - known} bytes that belong to no picture of a TIFF"
    elif len(data) < known:
        yield "the file ends in the middle of a part"


def _ppm(data: bytes) -> Iterator[str]:
    fields: list[int] = []
    at, kind = 2, data[1] - ord("0")
    while len(fields) < (2 if kind == 4 else 3):
        while data[at : at + 1].isspace():
            at += 1
        if data[at] == ord("#"):
            yield "a comment (PPM)"
            at = data.index(b"\n", at)
            continue
        end = at
        while data[end : end + 1].isdigit():
            end += 1
        fields.append(int(data[at:end]))
        at = end
    width, height = fields[:2]
    row = (width + 7) // 8 if kind == 4 else width * (3 if kind == 6 else 1)
    if kind < 4:
        return  # written as text, which has no end of its own
    end = at + 1 + row * height * (2 if kind != 4 and fields[2] > 255 else 1)
    if end < len(data):
        yield _behind(len(data) - end)
    elif end > len(data):
        yield "the file ends in the middle of a part"


def _behind(count: int) -> str:
    return f"{count} bytes behind the picture's end"


def _printed(name: bytes) -> str:
    return "".join(chr(c) if 32 < c < 127 else "?" for c in name)


_PARSERS: dict[bytes, Callable[[bytes], Iterator[str]]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    **{b"P" + bytes([kind]): _ppm for kind in b"123456"},
}
