"""The pictures of a scene: the original, the release, the controls, and what attackers make of them.

Their names: ``original``, ``release``, a control's; ``outside original`` and ``outside release`` (what a method leaves
visible), ``repainted 1`` … (by an attacker who runs the method himself), ``restored release DIGEST`` (by his network).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dsanon import shape_model
from dsanon.align import warp
from dsanon.config import GENERATORS
from dsanon.errors import UsageError
from dsanon.footprint import footprint
from dsanon.images import read_photo
from dsanon.methods.classical import GREY
from dsanon.models import store
from dsanon.naming import Names
from dsanon.plan import Control, assign
from dsanon.render import Action, Strength, Treatment, paste_crop, render
from dsanon.sample import Photo, Pixels, Sample
from dsanon_eval.networks.undo import load_undo
from dsanon_eval.seeing.case import Scene
from dsanon_eval.seeing.clips import ClipFrames
from dsanon_eval.seeing.code import PAINTING, digest
from dsanon_eval.seeing.faces import control

OUTSIDE, REPAINTED, RESTORED = "outside", "repainted", "restored"
_ATTACKERS_KEY = b"the attacker's own key: whoever made the release has another"
_MOST = 50_000  # vectors that he assigns: of more, nearly all are mixes whatever their number, and it takes long


@dataclass(frozen=True, slots=True)
class Means:
    """What an attacker has. method, on_miss: of the release · generator: its weights, '' where they are not here

    identities: of the generator, 0 for one that takes no control vector · networks: the folder of those that undo
    pseudonyms: how many the manifest has of painted faces in a scope, for scopes where they are more than identities
    """

    method: str = ""
    on_miss: str = "mask"
    generator: str = ""
    identities: int = 0
    networks: str = ""
    pseudonyms: tuple[tuple[str, int], ...] = ()

    @property
    def painted(self) -> bool:
        """Whether a generator paints the faces."""
        return self.method in GENERATORS

    @property
    def keyed(self) -> bool:
        """Whether a secret key decides the faces, so that an attacker's own run gives others.

        Blur has none, nor has a generator without identities; of one that is not here nobody knows: it may have.
        """
        return self.painted and (self.identities > 0 or not self.generator)

    def vectors(self, scope: str) -> int:
        """From how many a repainted face has its own: every identity, and a mix for each pseudonym beyond these."""
        return min(max(self.identities, dict(self.pseudonyms).get(scope, 0)), max(self.identities, _MOST))


def is_derived(kind: str) -> bool:
    """Whether it is an attacker's picture, which no figure but his own is measured on."""
    return kind.partition(" ")[0] in (OUTSIDE, REPAINTED, RESTORED)


def made_by(kind: str, means: Means, statuses: Sequence[str], scope: str = "") -> str:
    """What a picture follows from beside the file and its regions: for the key of what was seen in it.

    statuses, scope: of its faces
    """
    how = kind.partition(" ")[0]
    if how == OUTSIDE:
        return f"{kind} {means.painted} {statuses}"
    if how == REPAINTED:
        weights = store.sha256(Path(means.generator))
        shapes = store.sha256(store.path(shape_model.NAME))
        return f"{kind} {weights} {shapes} {means.on_miss} {means.vectors(scope)} {statuses} {digest(*PAINTING)}"
    return kind


class Studio:
    """Makes pictures; the attacker's networks are opened at their first use."""

    def __init__(self) -> None:
        self._opened: dict[str, Any] = {}
        self._clips: dict[Path, ClipFrames] = {}

    def pictures(self, scene: Scene, source: Path, data: Path, means: Means) -> Album:
        """Of one scene."""
        return Album(scene, source, data, means, self)

    def clip(self, path: Path) -> ClipFrames:
        """A video, read along; two stay open, a source's and its release's."""
        if path not in self._clips:
            if len(self._clips) > 1:
                self._clips.pop(next(iter(self._clips)))
            self._clips[path] = ClipFrames(path)
        return self._clips[path]

    def painter(self, weights: str) -> Any:
        """The generator of ``weights``."""
        if weights not in self._opened:
            from dsanon.methods.ciagan import Painter

            self._opened[weights] = Painter(Path(weights), "cpu", 1)
        return self._opened[weights]

    def undo(self, file: Path) -> Any:
        """The network of ``file``."""
        if str(file) not in self._opened:
            self._opened[str(file)] = load_undo(file)
        return self._opened[str(file)]


class Album:
    """The pictures of one scene by name, each made once."""

    def __init__(self, scene: Scene, source: Path, data: Path, means: Means, studio: Studio) -> None:
        self.scene, self.source, self.data, self.means, self._studio = scene, source, data, means, studio
        self.regions = [face.region for face in scene.faces]
        self._made: dict[str, Pixels] = {}

    def __getitem__(self, kind: str) -> Pixels:
        """(h, w, 3). Raises UsageError for a file that cannot be read."""
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def _make(self, kind: str) -> Pixels:
        if kind == "original":
            return self._read(self.source, self.scene.source_file)
        if kind == "release":
            return self._read(self.data, self.scene.release_file)
        how, _, of = kind.partition(" ")
        if how == OUTSIDE:
            return self._outside(self[of])
        if how == REPAINTED:
            return self._repainted(of)
        if how == RESTORED:
            of, _, network = of.partition(" ")
            return self._restored(self[of], network)
        return control(self["original"], self.regions, kind)

    def _read(self, root: Path, file: str) -> Pixels:
        if self.scene.frame is not None:
            pixels = self._studio.clip(root / file).at(self.scene.frame)
            if pixels is None:
                raise UsageError(f"{file}: frame {self.scene.frame} cannot be decoded")
            return pixels
        photo = read_photo(root, Sample(file, file))
        if not isinstance(photo, Photo):
            raise UsageError(f"{file}: {photo.reason}")
        return photo.pixels

    def _outside(self, photo: Pixels) -> Pixels:
        """Without any pixel that the method replaced, in whole or in part; as far as the original's geometry tells."""
        out = photo.copy()
        for face in self.scene.faces:
            soft = self.means.painted and face.status == "anonymized"
            area = footprint(face.region, photo.shape[1], photo.shape[0], soft)
            out[area.window][area.weight > 0] = GREY
        return out

    def _repainted(self, turn: str) -> Pixels:
        """By the release's own method, under vectors that have nothing to do with who somebody is, but are single
        identities and mixes in the release's proportion.

        A generator without identities takes none, and paints the same at every turn.
        """
        names = Names(_ATTACKERS_KEY)
        missed: Action = "pixelate" if self.means.on_miss == "pixelate" else "mask"
        plan = []
        for face in self.scene.faces:
            if face.status == "anonymized":
                place = (self.scene.source_sha256, str(face.number), turn)
                vector = Control((), ())
                if self.means.identities:
                    count = self.means.vectors(face.scope)
                    vector = _assigned(count, self.means.identities)[names.number(count, *place)]
                plan.append(Treatment(face.region, "ciagan", vector))
            else:
                plan.append(Treatment(face.region, missed))
        return render([self["original"]], [plan], Strength(9, 16), self._studio.painter(self.means.generator))[0]

    def _restored(self, photo: Pixels, network: str) -> Pixels:
        """With what the network takes for the face in place of every face that can be aligned."""
        undo = self._studio.undo(Path(self.means.networks) / f"{network}.safetensors")
        out = photo.copy()
        for region in self.regions:
            if region.transform:
                crop = undo(warp(photo, np.array(region.transform).reshape(2, 3)))
                paste_crop(out, crop, region, footprint(region, photo.shape[1], photo.shape[0], soft=True))
        return out


@lru_cache(maxsize=32)
def _assigned(count: int, identities: int) -> tuple[Control, ...]:
    """The vectors of a scope of ``count`` pseudonyms, by the program's own assignment under the attacker's key."""
    subjects = [str(number) for number in range(count)]
    given = assign(Names(_ATTACKERS_KEY), REPAINTED, subjects, identities)
    return tuple(given[subject] for subject in subjects)
