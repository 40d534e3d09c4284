from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from dsanon_training.checkpoints import export

from dsanon.errors import WeightsError
from dsanon.models.generator import Generator, GeneratorConfig, _means, _means_on_gpu, _ScaledInstanceNorm, fill
from dsanon.models.weights import load_generator, read_card

SMALL = GeneratorConfig(identities=5, widths=(8, 8, 16, 16, 16), embedding=16)


def inputs(n: int = 2) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    hidden = torch.zeros(n, 1, 128, 128)
    hidden[:, :, 40:90, 30:100] = 1
    padding = torch.zeros(n, 1, 128, 128)
    padding[:, :, :, 120:] = 1
    pixels = torch.rand(n, 3, 128, 128, generator=g) * 2 - 1
    return [torch.rand(n, 3, 128, 128, generator=g), pixels, hidden, padding, torch.eye(5)[:n]]


def test_hidden_and_padded_pixels_never_reach_it() -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    first = inputs()
    second = [t.clone() for t in first]
    second[1][:, :, 40:90, 30:100] = 0.9
    second[1][:, :, :, 120:] = -0.9
    with torch.no_grad():
        assert torch.equal(generator(*first), generator(*second))
        second[1][:, :, 10, 10] += 0.5
        assert not torch.equal(generator(*first), generator(*second))


def test_the_control_vector_matters_and_mixes_differ_from_both() -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    given = inputs(1)
    with torch.no_grad():
        one, two, mix = (
            generator(*given[:4], torch.tensor([c]))
            for c in ([1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0], [0.5, 0.5, 0, 0, 0])
        )
    assert not torch.allclose(one, two)
    assert not torch.allclose(mix, one)
    assert not torch.allclose(mix, two)


def test_mixes_are_of_known_codes_and_as_long() -> None:
    """A code that nobody has is painted with specks and creases."""
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    with torch.no_grad():
        known = generator.code(torch.eye(5))
        mixed = generator.code(torch.tensor([[0.5, 0.5, 0, 0, 0], [0, 0, 0.3, 0.7, 0]]))
    shares = torch.tensor([[0.5, 0.5, 0, 0, 0], [0, 0, 0.3, 0.7, 0]])
    assert torch.allclose(mixed.norm(dim=1), shares @ known.norm(dim=1), rtol=1e-5)
    plain = shares @ known
    assert torch.allclose(torch.nn.functional.cosine_similarity(mixed, plain), torch.ones(2))
    alone = generator.identity.weight.T
    expected = generator.mapping(alone * torch.rsqrt(alone.square().mean(1, keepdim=True) + 1e-8))
    assert torch.allclose(known, expected, rtol=1e-5)


def test_fill_spreads_visible_colours_only() -> None:
    pixels = torch.full((1, 3, 128, 128), 0.25)
    visible = torch.ones(1, 1, 128, 128)
    visible[:, :, 30:90, 30:90] = 0
    pixels[:, :, 30:90, 30:90] = 100.0
    assert torch.allclose(fill(pixels * visible, visible), torch.full((1, 3, 128, 128), 0.25), atol=1e-5)


def test_the_fast_norm_is_instance_norm_with_the_same_gradients() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    scale, shift = (torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    probe = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    plain = torch.nn.functional.instance_norm(x) * scale[:, :, None, None] + shift[:, :, None, None]
    fast = _ScaledInstanceNorm.apply(x, scale, shift)
    assert torch.allclose(plain, fast, atol=1e-5)
    for a, b in zip(*(torch.autograd.grad((y * probe).sum(), (x, scale, shift)) for y in (plain, fast)), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_what_is_compiled_is_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    with torch.no_grad():
        plain = generator(*inputs(1))
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert torch.allclose(generator(*inputs(1)), plain, atol=1e-4)


def test_export_and_load_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    path = tmp_path / "g.safetensors"
    metadata = {"kind": "generator", "recipe": "r", "steps": 7, "config": SMALL.as_dict(), "identities": ["a"] * 5}
    digest = export(path, generator.state_dict(), metadata)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest() == path.with_suffix(".sha256").read_text().strip()
    assert read_card(path).config == SMALL
    loaded = load_generator(path, torch.device("cpu"))
    with torch.no_grad():
        assert (loaded(*inputs()) - generator(*inputs())).abs().max() < 0.02  # half precision
    (tmp_path / "x.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(WeightsError, match="no generator"):
        read_card(tmp_path / "x.safetensors")


def test_the_gpus_means_are_the_cpus_and_float16_does_not_overflow() -> None:
    flat = torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(0)) + 3
    for a, b in zip(_means(flat), _means_on_gpu(flat), strict=True):
        assert torch.allclose(a, b, rtol=1e-5)
    mean, square = _means_on_gpu((flat * 300).half())
    assert torch.allclose(square / mean**2, _means(flat)[1] / _means(flat)[0] ** 2, rtol=1e-2)
