from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsanon.models import open_session, store
from dsanon.models.onnx_file import any_size, fixed_weights


def test_a_fixed_input_becomes_free() -> None:
    data = store.path("centerface").read_bytes()
    assert open_session(data).get_inputs()[0].shape == [10, 3, 32, 32]
    session = open_session(any_size(data))
    (heat,) = session.run(["537"], {"input.1": np.zeros((1, 3, 64, 96), np.float32)})
    assert heat.shape == (1, 1, 16, 24)


def test_the_answer_stays_the_same() -> None:
    data = store.path("centerface").read_bytes()
    image = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    before, after = (open_session(model).run(None, {"input.1": image}) for model in (data, any_size(data)))
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(before, after, strict=True))


def test_only_the_shapes_go() -> None:
    # ModelProto: version 8; graph {name "g"; input {name "x"; type {tensor {float; shape}}}; node ""}; producer "p"
    tensor = b"\x08\x01\x12\x02\x0a\x00"
    value = b"\x0a\x01x\x12" + bytes([len(tensor) + 2]) + b"\x0a" + bytes([len(tensor)]) + tensor
    graph = b"\x12\x01g" + b"\x5a" + bytes([len(value)]) + value + b"\x0a\x00"
    bare = b"\x0a\x01x\x12\x04\x0a\x02\x08\x01"
    expected = b"\x12\x01g" + b"\x5a" + bytes([len(bare)]) + bare + b"\x0a\x00"
    model = b"\x08\x08\x3a" + bytes([len(graph)]) + graph + b"\x12\x01p"
    assert any_size(model) == b"\x08\x08\x3a" + bytes([len(expected)]) + expected + b"\x12\x01p"


def test_weights_are_no_inputs_any_more_and_the_answer_stays_the_same() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    data = any_size(store.path("centerface").read_bytes())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    before = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    after = open_session(data)
    assert len(before.get_overridable_initializers()) > 100
    assert not after.get_overridable_initializers()
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    for a, b in zip(before.run(None, {"input.1": image}), after.run(None, {"input.1": image}), strict=True):
        assert np.abs(a - b).max() < 1e-4


def test_only_weights_go_from_the_inputs_and_only_where_the_version_allows() -> None:
    # ModelProto: version; graph {initializer {name "w"}; input {name "x"}; input {name "w"}; name "g"}
    weight, image, name = b"\x2a\x03\x42\x01w", b"\x5a\x03\x0a\x01x", b"\x12\x01g"
    graph = weight + image + b"\x5a\x03\x0a\x01w" + name
    for version, expected in ((4, weight + image + name), (3, graph)):
        head = b"\x08" + bytes([version]) + b"\x3a"
        assert fixed_weights(head + bytes([len(graph)]) + graph) == head + bytes([len(expected)]) + expected


@given(st.binary(max_size=60))
def test_nonsense_is_a_value_error_or_left_alone(data: bytes) -> None:
    for rewritten in (any_size, fixed_weights):
        try:
            out = rewritten(data)
        except ValueError:
            continue
        assert rewritten(out) == out


@pytest.mark.parametrize("data", [b"\x3a\x05ab", b"\x0b", b"\xff" * 20, b"\x09\x00"])
def test_cut_off_messages_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not protobuf"):
        any_size(data)
