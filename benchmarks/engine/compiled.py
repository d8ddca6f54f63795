"""Speed of scoring with compiled layers."""

import copy
import statistics
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.engine.case import TEMPLATES, Case, Record, timed
from benchmarks.engine.limit import Products, share_alone, work_of_rows
from softcloze import Backbone


def compiled(case: Case, rounds: int) -> Iterator[Record]:
    """Scoring with layers as they are written and compiled, and what share the products of linear layers alone take."""
    plain, (texts, labels) = case.backbone, case.texts(case.window)
    other = Backbone(copy.deepcopy(plain.model), plain.tokenizer, plain.name)
    _, spent = timed(other.compile)
    for place in TEMPLATES[case.model]:
        written, fast = (
            case.classifier(place, model=backbone).fit(texts[: case.batch], labels[: case.batch])
            for backbone in (plain, other)
        )
        products = Products()
        with products:
            expected = written.predict_proba(texts)
        by_rows = work_of_rows(written, texts) / products.work
        found, first = timed(partial(fast.predict_proba, texts))
        gap = float(np.abs(np.log(found) - np.log(expected)).max())
        times = []
        for _ in range(rounds):
            own = [timed(partial(clf.predict, texts))[1] for clf in (written, fast)]
            times.append((*own, products.seconds_alone(plain.model.dtype)))
        as_written, taken, alone = zip(*times, strict=True)
        ratios = [slow / quick for slow, quick in zip(as_written, taken, strict=True)]
        both = (as_written, taken)
        shares = [share_alone(alone, side) for side in both]
        case.show(
            "compiled",
            place,
            *(f"{len(texts) / statistics.median(side):.1f} rows/s" for side in both),
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            "share of products " + ", ".join(f"{share:.0%}" for share in shares),
            "by rows " + ", ".join(f"{share * by_rows:.0%}" for share in shares),
            f"compiling {spent:.1f} s, first rows {first:.1f} s",
            f"{gap:.0e} nats apart",
        )
        yield case.record(
            "compiled", method=place, rows=len(texts), seconds=times, ratios=ratios, nats_apart=gap, compiling=spent
        )
