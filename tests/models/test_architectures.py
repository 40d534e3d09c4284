from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dsanon_training.checkpoints import export
from dsanon_training.discriminators import PatchCritic, ResidualCritic
from dsanon_training.model_card import terms
from dsanon_training.recipe import load_recipe
from dsanon_training.siamese import SiameseNet

from dsanon.errors import WeightsError
from dsanon.models import store
from dsanon.models.architectures import ARCHITECTURES, PAINTS, AnyGenerator, build
from dsanon.models.generator import GeneratorConfig
from dsanon.models.painters import painter_file
from dsanon.models.weights import load_generator, read_card

WITHOUT_CONTROL = ("pix2pix", "cyclegan")


def made(architecture: str) -> AnyGenerator:
    torch.manual_seed(0)
    return build(config_of(architecture)).eval()


def config_of(architecture: str) -> GeneratorConfig:
    identities = 0 if architecture in WITHOUT_CONTROL else 3
    return GeneratorConfig(identities, (8, 8, 8, 8, 8), 16, architecture=architecture)


def millions(module: torch.nn.Module) -> float:
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 1)


def test_parameters_are_those_of_the_authors_code() -> None:
    assert millions(build(GeneratorConfig(1200, architecture="reference"))) == 11.8
    assert millions(ResidualCritic()) == 18.2
    assert millions(SiameseNet(1200)) == 12.9


def test_parameters_are_those_of_the_baselines_papers() -> None:
    assert millions(build(GeneratorConfig(0, architecture="pix2pix"))) == 41.8
    assert millions(build(GeneratorConfig(0, architecture="cyclegan"))) == 7.8
    assert millions(PatchCritic(3)) == 2.8


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_hidden_and_padded_pixels_never_reach_what_paints(architecture: str) -> None:
    generator = made(architecture)
    hidden, padding = torch.zeros(1, 1, 128, 128), torch.zeros(1, 1, 128, 128)
    hidden[..., 40:90, 30:100], padding[..., 120:] = 1, 1
    g = torch.Generator().manual_seed(1)
    pixels, other = torch.rand(2, 1, 3, 128, 128, generator=g) * 2 - 1
    other = torch.where((hidden + padding) > 0, other, pixels)
    drawn, control = torch.rand(1, 3, 128, 128, generator=g), torch.eye(3)[:1]
    if architecture in WITHOUT_CONTROL:
        control = torch.zeros(1, 0)
    with torch.no_grad():
        same = torch.equal(
            generator(drawn, pixels, hidden, padding, control), generator(drawn, other, hidden, padding, control)
        )
    assert same == (architecture != "faces")


def test_the_ablation_that_sees_the_source_paints_nothing() -> None:
    assert not any("faces" in kinds for kinds in PAINTS.values())
    assert "SEES THE SOURCE" in terms(load_recipe("faces"), made("faces"))["terms"]
    assert "SEES THE SOURCE" not in terms(load_recipe("ciagan-paper"), made("paper"))["terms"]


def test_a_file_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    for name in ("cyclegan", "faces"):
        generator = made(name)
        metadata = {
            "kind": "generator",
            "recipe": name,
            "steps": 1,
            "identities": [],
            "config": generator.config.as_dict(),
        }
        export(tmp_path / f"{name}.safetensors", generator.state_dict(), metadata)
        assert read_card(tmp_path / f"{name}.safetensors").config.architecture == name
        assert type(load_generator(tmp_path / f"{name}.safetensors", torch.device("cpu"))) is type(generator)
    with pytest.raises(WeightsError, match=r"no weights here: train them with `dsanon train pix2pix"):
        painter_file("pix2pix", "pix2pix")
    store.add("pix2pix", tmp_path / "cyclegan.safetensors")
    with pytest.raises(WeightsError, match="of the kind cyclegan, expected pix2pix"):
        painter_file("pix2pix", "pix2pix")
    store.add("ciagan-face", tmp_path / "faces.safetensors")
    with pytest.raises(WeightsError, match="of the kind faces, expected ciagan or paper or reference"):
        painter_file("ciagan", "ciagan-face")
    store.add("cyclegan", tmp_path / "cyclegan.safetensors")
    assert painter_file("cyclegan", "cyclegan").name == "cyclegan.safetensors"
    (tmp_path / "models" / "cyclegan.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match="not the file that was registered"):
        painter_file("cyclegan", "cyclegan")
    with pytest.raises(WeightsError, match="unknown"):
        build(GeneratorConfig(1, architecture="diffusion"))
