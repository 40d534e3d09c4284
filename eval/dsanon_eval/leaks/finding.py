"""What the leak scanner reports: one place in a release that gives something of the source away."""

from __future__ import annotations

from dataclasses import dataclass

# kind → what was looked for; `leak_<kind>` is the measurement, and what it counts findings against
KINDS = {
    "file": "links, devices, and files that cannot be looked into or that no release has",
    "metadata": "metadata, thumbnails, further tracks and trailing bytes in files; their times",
    "name": "names of files, folders and people, subject labels, links and captions of the source",
    "hash": "hashes of original files",
    "manifest": "rows, columns, counts and hashes of the manifest that are not true, or not the contract's",
    "order": "rows, numbers or times that give the source's order back",
    "assignment": "pseudonyms and fake identities that are shared, split or swapped",
    "pixels": "faces and bodies of the source found again",
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """kind: one of ``KINDS`` · file: relative to RELEASE, with forward slashes

    message: what is there and what to do. Findings lie in the release: no message says a source's name, label or hash.
    """

    kind: str
    file: str
    message: str
