"""What each vector of a soft prompt does: the prompt without it, on labelled rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from softcloze.analysis.evaluation import Fitted, Outcome, Score, opened, outcome, places, read_rows
from softcloze.data import Example
from softcloze.display import Block, Column, Displayable, Table, change, named
from softcloze.encoding import EncodedPrompt
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class DeletedVector:
    """A vector, and what becomes of labelled rows without it.

    Attributes:
        block: the name that its slots share, or "#1", "#2", … for slots without a name.
        number: its place in the block, from 1.
        score: of the prompt without it.
        accuracy_change: the accuracy without it less that of the whole prompt, on the same rows.
        log_loss_change: likewise, in nats: above 0 where the vector is of use.
        log_loss_error: standard error of that change, from the rows' own changes; 0 with a single row.
        lost: rows that are right with it and wrong without.
        gained: rows that are wrong with it and right without.
    """

    block: str
    number: int
    score: Score
    accuracy_change: float
    log_loss_change: float
    log_loss_error: float
    lost: int
    gained: int


@dataclass(frozen=True, slots=True)
class Deletions(Displayable):
    """A soft prompt without each of its vectors; `print` and `rich.print` show it as a table, and so do notebooks.

    `dataclasses.asdict` makes JSON of it.

    Attributes:
        rows: how many labelled rows it was measured on.
        whole: of the prompt with all its vectors.
        vectors: each vector with what is without it, in the order of the template.
    """

    rows: int
    whole: Score
    vectors: tuple[DeletedVector, ...]

    def content(self) -> Sequence[Block]:
        """The whole prompt in a line, and a table of the vectors."""
        vectors = self.vectors
        losses = [f"{change(vector.log_loss_change)} ± {vector.log_loss_error:.3f}" for vector in vectors]
        return [
            f"{self.rows:,} rows: with all vectors accuracy {self.whole.accuracy:.3f}, log-loss "
            f"{self.whole.log_loss:.3f} nats; changes without each (± standard error)",
            Table(
                [
                    Column("without", named([(vector.block, vector.number) for vector in vectors])),
                    Column("accuracy", [change(vector.accuracy_change) for vector in vectors], is_number=True),
                    Column("rows lost", [f"{vector.lost:,}" for vector in vectors], is_number=True),
                    Column("gained", [f"{vector.gained:,}" for vector in vectors], is_number=True),
                    Column("log-loss", losses, is_number=True),
                ]
            ),
        ]


def delete_vectors(clf: Fitted, X: Iterable[Example], y: Iterable[Label]) -> Deletions:
    """Take out the vectors of a soft prompt one by one, and measure it without each.

    A vector that is taken out leaves no place behind: what follows moves up, and every other token stays as it is. A
    vector of a block that stands at several places is taken out at all of them. The same rows are scored each time.
    A causal model reads what stands before a vector once, with it and without; with slots in front of the text it
    reads the text anew without each of them.

    Args:
        clf: a fitted classifier.
        X: examples, as for `predict`; others than it was trained on, or the changes say what it has learnt by heart.
        y: their labels.

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: its template has no soft slots, or it gives an example several labels.
        DataError: examples and labels that do not fit together or the prompt.
        EncodingError: without its only vector nothing stands before the mask of a causal model.

    Source:
        Leave-one-out ablation, as for attention heads in Michel et al., NeurIPS 2019, arXiv:1905.10650. They set to
        zero what they take out. A vector of zeros is still a place that is attended to, so here the place goes too.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny", "<soft*2> It was <mask>. <text>", {"bad": "bad", "good": "good"},
        ...     random_state=0, model_options={"dtype": "float32", "device": "cpu"},
        ... )  # fmt: skip
        >>> texts, labels = ["A delight.", "Dull.", "I loved it.", "Awful."], ["good", "bad"] * 2
        >>> found = delete_vectors(clf.fit(texts, labels), texts, labels)
        >>> [(vector.block, vector.number) for vector in found.vectors]
        [('#1', 1), ('#1', 2)]
        >>> bool(found.whole.accuracy == clf.score(texts, labels))
        True
    """
    bound, soft = opened(clf)
    rows = read_rows(bound.prompt, X, y)
    prompts = bound.encode(rows.examples)
    variants = [prompts]
    variants += [[without(own, row) for own in prompts] for row in range(len(soft.weight))]
    # common prefixes of the variants are computed once
    features = bound.features([prompt for variant in variants for prompt in variant]).split(len(prompts))
    whole, *others = (outcome(bound, of_variant, rows.targets) for of_variant in features)
    vectors = [_compared(whole, other, *place) for other, place in zip(others, places(soft), strict=True)]
    return Deletions(len(rows.examples), whole.score, tuple(vectors))


def without(prompt: EncodedPrompt, row: int) -> EncodedPrompt:
    """A prompt without the slots of one row of the soft vectors; other rows keep their numbers.

    >>> without(EncodedPrompt((5, -1, -2), (6, -1), {}, token_type_ids=(0, 0, 0, 0, 1, 1)), 0)
    EncodedPrompt(left=(5, -2), right=(6,), cut={}, token_type_ids=(0, 0, 0, 1), dropped=0, between=())
    """
    slot = -1 - row
    left, *between, right = (tuple(i for i in piece if i != slot) for piece in prompt.chunks)
    token_type_ids = prompt.token_type_ids
    if token_type_ids is not None:  # of the ids and of each mask between two pieces
        first, *others = prompt.chunks
        ids = [*first, *(i for piece in others for i in (None, *piece))]
        token_type_ids = tuple(own for i, own in zip(ids, token_type_ids, strict=True) if i != slot)
    return replace(prompt, left=left, between=tuple(between), right=right, token_type_ids=token_type_ids)


def _compared(whole: Outcome, other: Outcome, block: str, number: int) -> DeletedVector:
    changes = other.losses - whole.losses
    lost, gained = int((whole.right & ~other.right).sum()), int((other.right & ~whole.right).sum())
    return DeletedVector(
        block=block,
        number=number,
        score=other.score,
        accuracy_change=(gained - lost) / len(changes),
        log_loss_change=float(changes.mean()),
        log_loss_error=float(changes.std(ddof=1) / len(changes) ** 0.5) if len(changes) > 1 else 0.0,
        lost=lost,
        gained=gained,
    )
