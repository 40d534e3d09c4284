"""Who in each shard becomes whom: fake identities of the assignments over everybody whom the first pass found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from dsanon.config import JobConfig
from dsanon.found import read_found
from dsanon.models.painters import Generators, refuse_altered
from dsanon.models.weights import read_card
from dsanon.naming import Names
from dsanon.plan import Control, Who, assign_all, scope_of
from dsanon.regions import subject_of
from dsanon.sample import Kind
from dsanon.seals import require
from dsanon.shards import Shard


def assign_shards(
    config: JobConfig,
    names: Names,
    shards: Sequence[Shard],
    staging: Path,
    generators: Generators,
    known: Mapping[tuple[Kind, str], Control] | None = None,
) -> list[dict[Who, Control]]:
    """Each shard's fake identities, of the assignments over everybody who was found: one for each generator.

    known: kind and pseudonym → the fake identity that a release which is made anew has given already; who was withheld
    or masked in it has none, and needs none
    """
    planned: list[dict[Who, Control]] = [{} for _ in shards]
    for kind, (weights, sha256) in generators.items():
        refuse_altered(weights, sha256)
        for controls, more in zip(
            planned, _assigned(config, names, shards, staging, kind, weights, known), strict=True
        ):
            controls.update(more)
    return planned


def _assigned(
    config: JobConfig,
    names: Names,
    shards: Sequence[Shard],
    staging: Path,
    kind: Kind,
    weights: Path,
    known: Mapping[tuple[Kind, str], Control] | None,
) -> Iterator[dict[Who, Control]]:
    """Each shard's fake identities of the faces, or of the bodies, whose generator is ``weights``."""
    card = read_card(weights)
    index = {hashed: number for number, hashed in enumerate(card.identities)}
    index |= dict(zip(card.people, card.groups, strict=False))  # a group's identity is its people's own
    cameras = dict(config.cameras)
    scopes: dict[str, set[str]] = {}
    own: dict[str, int] = {}
    wanted: list[list[tuple[str, str]]] = []
    for shard in shards:
        keys = []
        require(shard.regions(staging))
        for sample, found in zip(shard.samples, read_found(shard.regions(staging)), strict=True):
            scope = scope_of(config.scope, sample, cameras)
            for number, region in enumerate(found.regions):
                if region.kind != kind or region.reason or region.label in config.kept or not region.transform:
                    continue
                subject = subject_of(sample, number, region)
                scopes.setdefault(scope, set()).add(subject)
                keys.append((scope, subject))
                hashed = hashlib.sha256(f"{config.dataset}/{region.label}".encode()).hexdigest()[:16]
                if region.label is not None and hashed in index:
                    own[subject] = index[hashed]
        wanted.append(keys)
    given: Mapping[tuple[str, str], Control]
    if not card.config.identities:  # a baseline without control over the identity
        given = dict.fromkeys(chain.from_iterable(wanted), Control((), ()))
    elif known is not None:
        everybody = set(chain.from_iterable(wanted))
        given = {key: known[who] for key in everybody if (who := (kind, names.subject(*key))) in known}
    else:
        given = assign_all(names, scopes, card.config.identities, own)
    for keys in wanted:
        yield {(kind, *key): given[key] for key in keys if key in given}
