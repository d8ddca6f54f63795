"""Training and scoring as a share of the processor's speed in matrix products of the same shapes."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.engine.case import TEMPLATES, Case, Record, epoch_seconds, seconds
from softcloze import PromptClassifier

aten = torch.ops.aten
Product = tuple[tuple[int, int, int], bool]  # rows, inner, columns; whether the second matrix is a transposed view


class Products(TorchDispatchMode):
    """Counts the matrix products of linear layers, forward and backward, while it is open and `counting`.

    Attributes:
        found: how often each shape came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counting = True
        self.found: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run `func`; without gradients a linear layer has to be taken apart to show its product."""
        kwargs = kwargs or {}
        if func in (aten.linear.default, aten.matmul.default):
            with self:
                return func.decompose(*args, **kwargs)
        if self.counting and func in (aten.mm.default, aten.addmm.default):
            left, right = args[-2:]
            self.found[(*left.shape, right.shape[1]), not right.is_contiguous()] += 1
        return func(*args, **kwargs)

    @property
    def work(self) -> float:
        """Floating-point operations, two for each multiplication with its addition."""
        return sum(2.0 * m * k * n * times for ((m, k, n), _), times in self.found.items())

    def seconds_alone(self, dtype: torch.dtype, device: torch.device | None = None) -> float:
        """Seconds of these products and nothing else, by the fastest of four of each."""
        total = 0.0
        # a GPU starts the next product while it computes one
        repeats = 20 if device is not None and device.type == "cuda" else 1
        for ((m, k, n), turned), times in self.found.items():
            left = torch.randn(m, k, dtype=dtype, device=device)
            shape = (n, k) if turned else (k, n)
            right = torch.randn(shape, dtype=dtype, device=device)

            def multiply(left: torch.Tensor = left, right: torch.Tensor = right.T if turned else right) -> None:
                for _ in range(repeats):
                    left @ right

            with torch.inference_mode():
                total += times * min(seconds(multiply) for _ in range(4)) / repeats
        return total


def limit(case: Case, rounds: int) -> Iterator[Record]:
    """A training step with slots at each place, and scoring."""
    dtype = case.backbone.model.dtype
    counts = {"training": case.batch * (2 if case.small else 1), "scoring": case.window}
    given = {kind: case.texts(rows) for kind, rows in counts.items()}
    for place in TEMPLATES[case.model]:
        for kind, (texts, labels) in given.items():
            rows = len(texts)
            if kind == "training":
                clf = case.classifier(place, epochs=2)
                products = products_of_epoch(clf, texts, labels)
                taken = [epoch_seconds(clf, texts, labels)[1][0] for _ in range(rounds)]
            else:
                with (products := Products()):
                    clf.predict(texts)
                taken = [seconds(partial(clf.predict, texts)) for _ in range(rounds)]
            alone = [products.seconds_alone(dtype) for _ in range(rounds)]
            share = share_alone(alone, taken)
            reached, possible = (products.work / statistics.median(own) / 1e9 for own in (taken, alone))
            each = f"{products.work / rows / 1e9:.2f} GFLOP a row"
            whole = work_of_rows(clf, texts) if kind == "scoring" else None
            by_rows = [f"{share * whole / products.work:.0%} by rows ({whole / rows / 1e9:.2f} GFLOP)"] if whole else []
            speed = f"{reached:.0f} of {possible:.0f} GFLOP/s"
            case.show("limit", kind, place, each, speed, f"{share:.0%}", *by_rows)
            yield case.record(
                "limit",
                what=kind,
                method=place,
                rows=rows,
                work=products.work,
                work_of_rows=whole,
                seconds=taken,
                products_alone=alone,
            )


def products_of_epoch(clf: PromptClassifier, texts: Sequence[str], labels: Sequence[str]) -> Products:
    """Fit for two epochs; the products of the second one."""
    products = Products()

    def second_epoch_alone(record: Record) -> None:
        products.counting = record["epoch"] == 1

    products.counting = False
    with products:
        clf.set_params(epochs=2, training__on_epoch=second_epoch_alone).fit(texts, labels)
    return products


def share_alone(alone: Sequence[float], taken: Sequence[float]) -> float:
    """The median over rounds of what the products alone take of the time that all of it takes."""
    return statistics.median(best / own for best, own in zip(alone, taken, strict=True))


def work_of_rows(clf: PromptClassifier, texts: Sequence[str]) -> float:
    """Floating-point operations where each row is read by itself, as a whole: what a model without shortcuts does."""
    products = Products()
    with products:
        for text in texts:
            clf.predict([text])
    return products.work
