from __future__ import annotations

import pytest
from dsanon_eval.measurement import Gate, Measurement
from dsanon_eval.report.chapters import CHAPTERS, OTHERS, absent, chapter_of, sentence, shown


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("recall_at_1", "recognition"),
        ("subject_recall_at_1", "pooled"),
        ("body_subject_recall_at_1", "bodies"),
        ("self_recall_at_1", "same_photo"),
        ("self_accepted", "same_photo"),
        ("landmark_recall_at_1", "landmarks"),
        ("parrot_recall_at_1", "parrot"),
        ("parrot_leaked_recall_at_1", "parrot"),
        ("parrot_above_blackout", "parrot_above"),
        ("reversal_untouched_recall_at_1", "reversal"),
        ("outside_self_recall_at_1", "outside"),
        ("worst_share_of_people", "worst"),
        ("subgroup_recall_at_1_size", "subgroups"),
        ("utility_detector_ratio", "utility"),
        ("tar_at_far_all_pairs", "verification"),
        ("tar_at_far_all_pairs_own", "verification"),
        ("recall_mobilenetv2_face", "realism"),
        ("swap_recall_at_1", "identity"),
        ("leak_metadata", "leaks"),
        ("temporal_jitter", "video"),
        ("unheard_of", "others"),
    ],
)
def test_every_figure_has_its_chapter(name: str, key: str) -> None:
    assert chapter_of(name).key == key


def test_a_missed_gate_is_told_in_words() -> None:
    figure = Measurement("recall_at_1", "faceres", "release", 0.1234, (0.1, 0.15), 1500, None, Gate("max", 0.03))
    assert sentence(figure) == (
        "The recogniser faceres still names 12.3 % of the released faces from other photos of the same people; "
        "allowed is 3.0 % (n = 1,500; 95 % interval 10.0 % to 15.0 %)."
    )
    for chapter in CHAPTERS:
        name = (chapter.names or ("unheard_of",))[0]
        told = sentence(Measurement(name, "m", "release", 0.5, None, 3, None, Gate("min", 0.9)))
        assert "{" not in told


def test_what_was_not_measured_is_known() -> None:
    keys = {attack.key for attack in absent([Measurement("recall_at_1", "m", "release", 0.5, None, 3)])}
    assert "recognition" not in keys
    assert {"parrot", "reversal", "leaks"} <= keys
    assert OTHERS.key not in keys
    control = Measurement("recall_at_1", "m", "original", 0.5, None, 3)
    assert "recognition" in {attack.key for attack in absent([control])}  # nobody asked the release
    group = Measurement("subgroup_recall_at_1_size", "m", "release, 1: to 15°", 0.5, None, 3)
    assert "subgroups" not in {attack.key for attack in absent([group])}


def test_values_are_shown_as_readers_want_them() -> None:
    assert shown(0.0123, True) == "1.2 %"
    few = [0.0, 0.0004, 0.0006, 0.9994, 0.9997, 1.0, 1.0002, -0.0002]
    expected = ["0.0 %", "under 0.1 %", "0.1 %", "99.9 %", "over 99.9 %", "100.0 %", "100.0 %", "-0.0 %"]
    assert [shown(value, True) for value in few] == expected
    assert [shown(value, False) for value in (None, 3.0, 0.012345, 1234567.0)] == ["–", "3", "0.0123", "1,234,567"]
