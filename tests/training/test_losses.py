from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from dsanon_training import losses

from dsanon.errors import RecipeError


def test_lsgan_by_hand() -> None:
    real, fake = [torch.tensor([[1.0, 0.0]])], [torch.tensor([[0.5, 0.5]])]
    # ½ (0 + 1) / 2 + ½ (0.25 + 0.25) / 2
    assert losses.lsgan_discriminator(real, fake).item() == pytest.approx(0.25 + 0.125)
    assert losses.lsgan_generator(fake).item() == pytest.approx(0.5 * 0.25)


def test_masked_l1_by_hand() -> None:
    a, b = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    weight = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    assert losses.masked_l1(a, b, weight).item() == pytest.approx(1.0)
    b[..., 0, 1] = 3.0
    assert losses.masked_l1(a, b, weight).item() == pytest.approx((1 + 1.5) / 1.5)
    assert losses.masked_l1(a, b, torch.zeros_like(weight)).item() == 0


def test_tone_is_the_mean_colours_of_a_region_not_its_pixels() -> None:
    a, b = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    a[0, :, 0, 0], a[0, :, 0, 1] = 1.0, -1.0  # cancel out
    weight = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]).expand(2, 1, 2, 2)
    assert losses.tone(a, b, weight).item() == 0
    a[1, 0, 0] = 0.5  # one of two images, one of three channels
    assert losses.tone(a, b, weight).item() == pytest.approx(0.5 / 6)
    assert losses.tone(a[:0], b[:0], weight[:0]).item() == 0


def test_identity_cross_entropy_by_hand() -> None:
    prototypes = torch.eye(2)
    right, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert losses.identity_cross_entropy(right, prototypes, torch.tensor([[1.0, 0]]), 1.0).item() == pytest.approx(
        -math.log(math.e / (math.e + 1))
    )
    assert losses.identity_cross_entropy(wrong, prototypes, torch.tensor([[1.0, 0]]), 20.0).item() == pytest.approx(
        20, abs=1e-3
    )
    even = losses.identity_cross_entropy(right, prototypes, torch.tensor([[0.5, 0.5]]), 20.0).item()
    assert even == pytest.approx(10 - math.log(2), abs=1e-3)  # less the mix's own entropy
    asked = torch.tensor([[1.0, 0]])
    assert losses.identity_cross_entropy(wrong, prototypes, asked, 20.0, enough=0.7).item() == pytest.approx(
        19.3, abs=1e-3
    )
    assert losses.identity_cross_entropy(right, prototypes, asked, 1.0, enough=0.7).item() == 0


def test_nobody_is_as_far_from_everybody_as_asked() -> None:
    e, people = torch.eye(3)[:2], torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    assert losses.away_from_people(e, people, 0.5).item() == pytest.approx((0.1 + 0.3) / 2)
    assert losses.away_from_people(e, people, 0.9).item() == 0


def test_away_and_matching_only_count_their_items() -> None:
    e = torch.eye(2)
    assert losses.away_from_source(e, e, 0.05).item() == pytest.approx(0.95)
    assert losses.away_from_source(e, e.flip(0)).item() == 0
    real, fake = [torch.full((2, 1), 2.0)], [torch.tensor([[1.0], [9.0]])]
    assert losses.feature_matching(real, fake, torch.tensor([True, False])).item() == pytest.approx(0.5)
    assert losses.feature_matching(real, fake, torch.tensor([False, False])).item() == 0


def test_recipes_are_validated() -> None:
    from dsanon_training.recipe import load_recipe, recipe_names

    assert "ciagan-face" in recipe_names()
    assert load_recipe("ciagan-face", ["steps=5", "learning_rate=1"]).learning_rate == 1.0
    for setting, message in (
        ("step=5", "unknown"),
        ("steps=0", "above 0"),
        ("own_share=2", "outside"),
        ("steps=five", "type int"),
        ("teacher_full=1", "comes before"),
        ("precision=fp8", "none of"),
        ("steps", "key=value"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe("ciagan-face", [setting])
    with pytest.raises(RecipeError, match="unknown: give"):
        load_recipe("nothing")


def test_held_out_people_never_train() -> None:
    from dsanon_training.exclusions import check_training_set

    check_training_set(["lfw/A", "celeba/1"], frozenset({"B"}), frozenset({"2"}))
    with pytest.raises(RecipeError, match="1 held-out"):
        check_training_set(["lfw/A", "celeba/1"], frozenset({"A"}), frozenset({"2"}))
    with pytest.raises(RecipeError, match="1 held-out"):
        check_training_set(["lfw/A", "celeba/1"], frozenset({"B"}), frozenset({"1"}))


def test_the_mirror_is_its_own_inverse() -> None:
    from dsanon_training.batches import MIRROR

    assert sorted(MIRROR) == list(range(68))
    assert (MIRROR[MIRROR] == range(68)).all()


def test_gan_by_hand() -> None:
    even = torch.zeros(3)
    assert losses.gan_discriminator(even, even).item() == pytest.approx(math.log(2))
    assert losses.gan_generator(even).item() == pytest.approx(math.log(2))
    sure = torch.tensor([2.0])  # σ(2) = 0.8808
    assert losses.gan_discriminator(sure, sure).item() == pytest.approx(
        -0.5 * (math.log(0.880797) + math.log(1 - 0.880797)), abs=1e-5
    )
    assert losses.gan_generator(-sure).item() == pytest.approx(-math.log(1 - 0.880797), abs=1e-5)


def test_cycle_consistency_by_hand() -> None:
    assert losses.cycle_consistency(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.0])).item() == 0.75


def test_proxy_nca_by_hand() -> None:
    proxies = 5 * torch.eye(3)  # their length does not count
    # on its proxy: d = 0, the two others at d = 2: 0 + log(2 e^-2)
    assert losses.proxy_nca(torch.tensor([[3.0, 0, 0]]), proxies, torch.tensor([0])).item() == pytest.approx(
        math.log(2) - 2
    )
    # on another's: d = 2, the others at 0 and 2: 2 + log(1 + e^-2)
    assert losses.proxy_nca(torch.tensor([[0.0, 1, 0]]), proxies, torch.tensor([0])).item() == pytest.approx(
        2 + math.log(1 + math.exp(-2)), abs=1e-6
    )
    # all distances times 3: 6 + log(1 + e^-6)
    assert losses.proxy_nca(torch.tensor([[0.0, 1, 0]]), proxies, torch.tensor([0]), 3.0).item() == pytest.approx(
        6 + math.log(1 + math.exp(-6)), abs=1e-5
    )


def test_contrastive_by_hand() -> None:
    a, b = torch.tensor([[0.0, 0], [0, 0], [0, 0]]), torch.tensor([[3.0, 4], [0, 1], [6, 8]])
    same = torch.tensor([True, False, False])
    # ½ 25, ½ (3 - 1)², nothing beyond the margin
    assert losses.contrastive(a, b, same, 3.0).item() == pytest.approx((12.5 + 2.0 + 0) / 3)
    x = torch.zeros(1, 2, requires_grad=True)
    losses.contrastive(x, torch.zeros(1, 2), torch.tensor([False]), 3.0).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_products_of_embeddings_are_of_float32_under_autocast() -> None:
    a = F.normalize(torch.randn(4, 128, generator=torch.Generator().manual_seed(0)), dim=1)
    control, exact = torch.eye(4), a @ a.T
    alone = [losses.identity_cross_entropy(a, a, control), losses.away_from_people(a, a, 0.5)]
    alone.append(losses.proxy_nca(a, a, torch.arange(4)))
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ a.T).dtype == torch.bfloat16
        assert torch.equal(losses.cosines(a, a), exact)
        low = [losses.identity_cross_entropy(a, a, control), losses.away_from_people(a, a, 0.5)]
        low.append(losses.proxy_nca(a, a, torch.arange(4)))
    assert torch.equal(torch.stack(alone), torch.stack(low))
