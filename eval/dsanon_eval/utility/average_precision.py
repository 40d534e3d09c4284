"""Average precision of a person detector on release and original, by COCO's own evaluation (pycocotools)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from dsanon.sample import Person
from dsanon_eval.intervals import stretched
from dsanon_eval.measurement import Measurement
from dsanon_eval.utility.pedestrians import NAME, People, Shot, annotated_boxes

_DRAWS = 200
_MOST = 100  # detections of a picture that count
_FIGURES = {"person_ap": slice(None), "person_ap50": slice(0, 1)}  # IoU from 0.5 to 0.95, and 0.5 alone


def measure(shots: Sequence[Shot]) -> list[Measurement]:
    """AP of release and original; none without annotation.

    n: annotated people · intervals: bootstrap over blocks of pictures, None where each draw says the same: of one block
    """
    count = sum(not (person.many or person.aside) for shot in shots for person in shot.annotated)
    if not count:
        return []
    out = []
    for control in ("release", "original"):
        blocks = [shot.block for shot in shots]
        precisions = _precisions([(shot.annotated, shot.found(control)) for shot in shots], blocks)
        for name, rows in _FIGURES.items():
            value, *drawn = (float(np.mean(p[rows])) for p in precisions)
            low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
            interval = stretched(value, (low, high), len(set(blocks)), (0.0, 1.0)) if low < high else None
            out.append(Measurement(name, NAME, control, value, interval, count))
    return out


def _precisions(pictures: Sequence[tuple[Sequence[Person], People]], blocks: Sequence[str]) -> list[Any]:
    """(10, 101) precision by IoU and recall: of all pictures, then of each draw of the bootstrap over ``blocks``."""
    from pycocotools.coco import COCO

    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, (people, seen) in enumerate(pictures):
        for person, (x0, y0, x1, y1) in zip(people, annotated_boxes(people).tolist(), strict=True):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
            box |= {"iscrowd": int(person.many), "aside": int(person.aside)}
            truth.append(box | {"id": len(truth) + 1, "image_id": image, "category_id": 1})
        for (x0, y0, x1, y1), score in zip(seen.boxes.tolist(), seen.scores.tolist(), strict=True):
            found.append({"image_id": image, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score})
    if not found:
        return [np.zeros((10, 101))] * (1 + _DRAWS)
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        images = [{"id": image} for image in range(len(pictures))]
        coco.dataset = {"info": {}, "images": images, "annotations": truth, "categories": [{"id": 1}]}
        coco.createIndex()
        judge = _judge(coco, coco.loadRes(found))
        judge.params.maxDets, judge.params.areaRng, judge.params.areaRngLbl = [_MOST], [[0, 1e10]], ["all"]
        judge.evaluate()
        seen_in = list(judge.evalImgs)
        group = np.unique(list(blocks), return_inverse=True)[1]
        members = [np.flatnonzero(group == number) for number in range(group.max() + 1)]
        drawn = np.random.default_rng(0).integers(len(members), size=(_DRAWS, len(members)))
        draws = [np.arange(len(seen_in)), *(np.concatenate([members[g] for g in row]) for row in drawn)]
        out: list[Any] = []
        for draw in draws:
            judge.evalImgs = [seen_in[int(i)] for i in draw]
            judge.params.imgIds = judge._paramsEval.imgIds = list(range(len(draw)))
            judge.accumulate()
            precision = judge.eval["precision"][:, :, 0, 0, 0]
            if not out or (precision >= 0).any():  # -1 all through: a draw without anybody tells nothing
                out.append(np.maximum(precision, 0))
    return out


def _judge(truth: Any, found: Any) -> Any:
    """COCO's evaluation in which people who are not scored are matched like others, but count for nothing."""
    from pycocotools.cocoeval import COCOeval

    class Judge(COCOeval):  # type: ignore[misc]
        def _prepare(self) -> None:
            super()._prepare()
            for people in self._gts.values():
                for person in people:
                    person["ignore"] = int(person["iscrowd"] or person["aside"])

    return Judge(truth, found, "bbox")
