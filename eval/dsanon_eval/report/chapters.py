"""What each figure means, in words for those who decide about a release: the report's chapters.

An attack is added here by one entry; a figure that no entry claims is still shown, among the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dsanon_eval.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Attack:
    """A chapter. names, figures: beginnings of the names of its measurements and curves

    does: what the attacker does, in a sentence · reads: what a good figure looks like · axis: of the value
    failed: what a missed gate means; ``{model}``, ``{value}`` and ``{bound}`` are filled in
    share: values are shares of 1, shown in per cent
    """

    key: str
    title: str
    names: tuple[str, ...]
    does: str
    reads: str
    axis: str
    failed: str = "{name} by {model} is {value}; the bound is {bound}"
    figures: tuple[str, ...] = ()
    share: bool = True


ATTACKS = (
    Attack(
        "recognition",
        "Recognition from other photos",
        ("recall_at_1",),
        "The attacker holds named photos of everybody, though never the one that a released face was made from (of a "
        "sequence: its other frames), and asks a face recogniser for the nearest person to each released face.",
        "Low is private: the release should lie with chance. The original says how strong the attacker is: where it "
        "is low, a low release proves nothing. Faces that could not be read count as recognised.",
        "share of released faces named correctly",
        "The recogniser {model} still names {value} of the released faces from other photos of the same people; "
        "allowed is {bound}",
        ("cmc",),
    ),
    Attack(
        "pooled",
        "Recognition from all photos of a pseudonym",
        ("subject_recall_at_1",),
        "The manifest says which released faces are of one person within a scope. The attacker takes them together: "
        "the mean of a pseudonym's embeddings is looked for among the means of people's originals. One half of "
        "everybody's photos is pooled, the other half is what he knows; asked for are pseudonyms of which two "
        "pictures or more are pooled, and the people known are theirs.",
        "Low is private: what a single face hardly shows adds up over many. One in so many people is chance; n counts "
        "pseudonyms, not faces. Where every pseudonym has one picture (a scope for each) there is nothing to pool. In "
        "a sequence the other half are the frames beside those that are pooled.",
        "share of pseudonyms named correctly",
        "By all photos of a pseudonym together the recogniser {model} names {value} of the people; allowed is {bound}",
    ),
    Attack(
        "same_photo",
        "Recognition from the very photo",
        ("self_recall_at_1", "self_accepted"),
        "The attacker holds the original of each released picture as well, and asks which original a face came from; "
        "or (self_accepted) whether the two are of one person, by a threshold at which one pair of strangers' "
        "originals in a thousand passes: of aligned faces of 48 pixels or more, whoever else there is.",
        "Low is private. What of a painted face is above chance comes from what lies around it and from its geometry.",
        "share of released faces matched to their original",
        "The recogniser {model} matches {value} of the released faces to their own original; allowed is {bound}",
    ),
    Attack(
        "verification",
        "Verification of a suspicion",
        ("tar_at_far",),
        "The attacker suspects that a released face is a certain person, and lets a recogniser compare the two at a "
        "threshold that takes one pair of strangers in a thousand for the same person (LFW's protocol where its pairs "
        "are there, and all pairs of different people). Whose pairs: of two originals, as of an attacker who knows of "
        "no method, or (…_own, and the curves) of an original and the very picture that is asked about, as of one who "
        "does.",
        "Low is private. By their own threshold strangers reach 0.1 % (chance; of few pairs more). By that of "
        "originals it is another share, which the notes give: where released faces lie further from everybody it is "
        "less, and a low figure is no proof. LFW's own pairs of strangers are few, so that their threshold at 0.001 is "
        "coarse and the interval wide; the threshold of all pairs stands beside it. Faces that could not be read count "
        "as confirmed.",
        "true accept rate at a false accept rate of 0.001",
        "The recogniser {model} confirms {value} of the true suspicions that a released face is a certain person; "
        "allowed is {bound}",
        ("roc", "similarity", "distance"),
    ),
    Attack(
        "parrot",
        "An attacker who trains on anonymized pictures",
        ("parrot",),
        "The attacker knows some photos of everybody, anonymizes them himself by the same method under a key of his "
        "own, learns from the result who is who, and is asked about the release's other photos (McPherson et al., "
        "2016). The second figure, parrot_leaked, is of an attacker who has learnt the names of half of the released "
        "photos instead.",
        "Low is private. This attacker breaks blur and mosaic although people cannot see through them. What he names "
        "of a blackout he knows by what lies around the face: parrot_above_blackout takes that off. The leaked "
        "figure has no bound: within a scope one person has one fake face on purpose, so that a name that leaks for "
        "one photo names the person's others: the release is pseudonymous within a scope. A method without a secret "
        "shows the same pictures to both attackers, and has the first figure only; where the generator that painted "
        "the release is not here, nobody could run the method, and there is the leaked figure only. In a sequence he "
        "knows the frames beside those he is asked about, so that the gates that ship leave the figure free.",
        "share of released faces named correctly",
        "An attacker trained on anonymized pictures names {value} of the faces by {model}; allowed is {bound}",
    ),
    Attack(
        "parrot_above",
        "How much of that comes from the face",
        ("parrot_above",),
        "The attacker who trains on pictures that he anonymized himself, by the release and by a blackout of the same "
        "photos: the share that he names in the one less that in the other, having learnt from the same people.",
        "Near zero, or below, is private: what he knows he knows by what lies around the face. Of few photos there are "
        "both, so that the interval is wide; no gate asks for it.",
        "difference of two shares",
        share=False,
    ),
    Attack(
        "reversal",
        "Undoing the anonymization",
        ("reversal",),
        "The attacker trains a network on pairs of before and after, of people who are not measured here, undoes the "
        "method with it, then asks a recogniser for the nearest person by other photos. The figures called untouched "
        "are of the same faces without that network.",
        "Low is private. Above untouched, the method can be undone in part.",
        "share of restored faces named correctly",
        "After an attempt to undo the method, the recogniser {model} names {value} of the faces; allowed is {bound}",
    ),
    Attack(
        "few",
        "A few who are easily told apart",
        ("few",),
        "The attacker knows that one of five people is in the picture, and these five look unlike one another: sets "
        "are chosen by one half of everybody's originals, which are the gallery, and released faces of the other half "
        "are asked. Hair, sex and skin may decide it, which a picture shows around the face: the blackout says how "
        "much.",
        "Low is private, but a guess is right in a fifth of the cases. Above the blackout, the face itself tells.",
        "share of faces named correctly, of five people",
        "Among five who are unlike the recogniser {model} names {value}; allowed is {bound}",
    ),
    Attack(
        "worst",
        "The people worst off",
        ("worst", "people"),
        "No further attack: who among the people is recognised most often from other photos? The worst twentieth is "
        "chosen by half of everybody's photos and measured by the others, for among many there is always somebody "
        "unlucky. Beside it stands the share of people who are named in more than half of their photos.",
        "Low is private, for everybody: a low mean can hide a few who are always recognised.",
        "share of these people's faces, or share of people",
        "The recogniser {model} names {value} ({name}) of those worst off; allowed is {bound}",
        ("people",),
    ),
    Attack(
        "subgroups",
        "Whom it protects less",
        ("subgroup",),
        "Recognition from other photos, and the faces found again (of those that the method treated, as in "
        "detection_rate), by how large a face is in its photo, how far it is turned aside (estimated from its "
        "landmarks; where it could not be aligned, from those looked for in the original), how light it is, and by "
        "the attributes that were given; and how many of a group could only be covered "
        "(subgroup_covered).",
        "The groups of the release should lie together. A group of fewer than 30 faces gets no verdict, and of the "
        "others the worst one is held to the bound; light is that of the pixels, of skin and lamp together.",
        "share of the group's faces",
        "In the group worst off {value} ({name} by {model}); the bound is {bound}",
    ),
    Attack(
        "landmarks",
        "Recognition by the face's geometry alone",
        ("landmark",),
        "The attacker looks at no pixel of the skin, only at where 68 landmarks lie in the released face.",
        "Low is private. Pose and expression are kept on purpose, so that chance is not always reached.",
        "share of released faces named correctly",
        "The landmarks alone name {value} of the released faces; allowed is {bound}",
    ),
    Attack(
        "outside",
        "Recognition by what was left visible",
        ("outside",),
        "The attacker looks only at what lies outside the hidden region: hair, ears, neck, clothes, background. All "
        "that the method replaced is blacked out, in release and gallery alike. Asked for are other photos of the "
        "person, and (outside_self) the very photo.",
        "Low is private. No method that repaints only the face can lower it, so no gate asks for it: the release lies "
        "with the original by construction, and the very photo is found by its background.",
        "share of released faces named correctly",
        "What lies outside the hidden region names {value} of the people; allowed is {bound}",
    ),
    Attack(
        "bodies",
        "Recognition of the body",
        ("body_",),
        "The attacker cuts out each released body and asks a network for the nearest original, by clothes and build: "
        "among the person's other pictures, with the very picture among them, by all pictures of a pseudonym together "
        "(body_subject), and within the release.",
        "Low is private, but for links within a scope, which are wanted. Among fewer than about six people a guess is "
        "right so often that by other pictures nobody can be told from it: a figure without a bound is not measured, "
        "which is no pass. What is seen around a silhouette tells one place from another: blackout says how much.",
        "share of released bodies named correctly",
        "The network {model} still names {value} of the released bodies ({name}); allowed is {bound}",
    ),
    Attack(
        "linkage",
        "Linking people within the release",
        ("linkage",),
        "The attacker needs no original: they look for the same person twice in the release itself.",
        "Within a scope links are wanted, for tracking needs them. Across scopes they must not be found.",
        "share of released faces linked to the same person",
        "The recogniser {model} links {value} of the faces ({name}); the bound is {bound}",
    ),
    Attack(
        "identity",
        "Who the new faces are",
        ("swap", "control"),
        "A recogniser is asked for the identity that the generator was told to paint, and whether two different "
        "orders give two different people.",
        "Naming the training identity should be no better than chance: nobody's real face may be put on another.",
        "share, or distance",
        share=False,
    ),
    Attack(
        "detection",
        "Use: are the faces still found?",
        ("detection_rate", "face_seen_rate"),
        "No attack: a detector looks for every face that it found in the original, at the same place: of those that "
        "the method treated (detection_rate), of those that it could only cover (…_covered), and of both (…_all). "
        "Without the private map no original is known, and face_seen_rate is of all released faces.",
        "High is useful: the release can still train and test detectors. A face that is lost is no success of privacy.",
        "share of the original's faces found again",
        "The detector {model} finds only {value} of the faces again; expected is at least {bound}",
        ("detection",),
    ),
    Attack(
        "realism",
        "Use: how far from real photos?",
        ("fd_", "fid", "kid_", "precision_", "recall_mobilenetv2", "recall_inception", "coverage_", "density_"),
        "No attack: features of released pictures are compared with those of the originals, faces and whole pictures.",
        "Two halves of the originals say how far apart real photos are among themselves. Only figures of the original "
        "Inception network are called FID and can be compared with the paper's. The generator trained against a "
        "discriminator on MobileNetV2's very features (guided training), which flatters it in these figures; "
        "fd_dlib_resnet is the distance by a network that took no part. Each interval is that over ten ways to halve "
        "these people, not over other people: it is narrower than what another sample would show.",
        "distance, or share",
        share=False,
    ),
    Attack(
        "utility",
        "Use: training and testing on the release",
        ("utility", "ap_", "person_ap", "pedestrian", "background", "psnr"),
        "No attack: what detectors, trackers and classifiers reach with the release in place of the original: average "
        "precision by COCO's evaluation, HOTA, MOTA and IDF1 by TrackEval's, the people found again, and how exact "
        "the background is (share of its pixels, PSNR in dB). A small detector is trained on the release and on each "
        "control, and tested on originals of other people; its ratio is the share of what it reaches after training on "
        "originals; there is none where these teach it next to nothing (AP below 0.2).",
        "Near the original is useful. One simple detector and tracker stand behind these figures: low ones of the "
        "original say that they are weak, and only the difference counts. The detector of pedestrians searches a "
        "grid: of the original itself, moved by three pixels (original_moved), it does not find everybody again.",
        "score",
        share=False,
    ),
    Attack(
        "video",
        "Use: steadiness over time",
        ("temporal",),
        "No attack: how much a painted face flickers and jumps from frame to frame, against the original's. Faces that "
        "were covered, or are smaller than 32 pixels, are not looked at.",
        "Near the original is good.",
        "score",
        share=False,
    ),
)
LEAKS = Attack(
    "leaks",
    "Leaks in the files",
    ("leak",),
    "Every file of the release is opened and searched for what came along: metadata, thumbnails, names, hashes, "
    "and source pixels.",
    "Nothing may be found.",
    "findings",
    "The files give something away: {name} has {value} findings; allowed is {bound}",
    share=False,
)
OTHERS = Attack(
    "others",
    "Other figures",
    (),
    "Figures that no chapter above explains; see their names.",
    "",
    "value",
    share=False,
)
CHAPTERS = (*ATTACKS, LEAKS, OTHERS)


def chapter_of(name: str) -> Attack:
    """The chapter of a measurement: whose beginning fits the longest; the others' where none does."""
    fitting = [(len(start), number) for number, a in enumerate(CHAPTERS) for start in a.names if name.startswith(start)]
    return CHAPTERS[max(fitting, key=lambda pair: (pair[0], -pair[1]))[1]] if fitting else OTHERS


def chapter_of_figure(figure: str) -> Attack:
    """The chapter of a curve."""
    return next((a for a in CHAPTERS if any(figure.startswith(start) for start in a.figures)), OTHERS)


def shown(value: float | None, share: bool) -> str:
    """A value as a reader wants it: per cent for shares, three figures for the rest, a dash for none.

    One in 2,700 is not 0.0 %, nor are all but one 100.0 %.
    """
    if value is None:
        return "–"
    if share:
        text = f"{100 * value:.1f} %"
        if 0 < value < 1:
            text = {"0.0 %": "under 0.1 %", "100.0 %": "over 99.9 %"}.get(text, text)
        return text
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.3g}"


def sentence(figure: Measurement) -> str:
    """A missed gate in words. Only for a figure with a gate."""
    chapter = chapter_of(figure.name)
    bound = "" if figure.gate is None else shown(figure.gate.bound, chapter.share)
    words = {"model": figure.model, "name": figure.name, "value": shown(figure.value, chapter.share), "bound": bound}
    between = ""
    if figure.ci95:
        between = "; 95 % interval " + " to ".join(shown(value, chapter.share) for value in figure.ci95)
    return f"{chapter.failed.format(**words)} (n = {figure.n:,}{between})."


def absent(figures: Iterable[Measurement]) -> list[Attack]:
    """Attacks of which the release has no figure; of originals and controls there may be some."""
    there = {chapter_of(figure.name).key for figure in figures if figure.control.partition(",")[0] == "release"}
    return [attack for attack in (*ATTACKS, LEAKS) if attack.key not in there]
