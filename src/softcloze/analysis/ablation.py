"""Leave-one-out ablation of soft vectors on labelled examples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from softcloze.analysis.evaluation import (
    Evaluation,
    FittedClassifier,
    Score,
    evaluate,
    labelled_examples,
    soft_prompt_of,
    vector_positions,
)
from softcloze.data import Example
from softcloze.display import Block, Column, Displayable, Table, change, named
from softcloze.encoding import EncodedPrompt
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class DeletedVector:
    """The effect of leaving out one vector.

    Attributes:
        block: the name that its slots share, or "#1", "#2", … for slots without a name.
        position: its position in the block, from 1.
        score: of the prompt without it.
        accuracy_change: accuracy without it minus accuracy of the whole prompt, on the same examples.
        log_loss_change: the same difference of the log-loss, in nats; above 0 if the vector helps.
        log_loss_error: standard error of that change over the examples; 0 with a single example.
        lost: examples that are right with it and wrong without.
        gained: examples that are wrong with it and right without.
    """

    block: str
    position: int
    score: Score
    accuracy_change: float
    log_loss_change: float
    log_loss_error: float
    lost: int
    gained: int


@dataclass(frozen=True, slots=True)
class Deletions(Displayable):
    """A soft prompt without each of its vectors; shown as a table by `print`, `rich.print` and notebooks.

    `dataclasses.asdict` gives plain data for JSON.

    Attributes:
        rows: number of labelled examples.
        whole: score of the prompt with all its vectors.
        vectors: effect of leaving out each vector, in the order of the template.
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
                    Column("without", named([(vector.block, vector.position) for vector in vectors])),
                    Column("accuracy", [change(vector.accuracy_change) for vector in vectors], is_number=True),
                    Column("rows lost", [f"{vector.lost:,}" for vector in vectors], is_number=True),
                    Column("gained", [f"{vector.gained:,}" for vector in vectors], is_number=True),
                    Column("log-loss", losses, is_number=True),
                ]
            ),
        ]


def delete_vectors(clf: FittedClassifier, X: Iterable[Example], y: Iterable[Label]) -> Deletions:
    """Leave out the vectors of a soft prompt one by one, and measure the prompt without each.

    A vector that is left out leaves no position: the tokens that follow move up, and all tokens stay the same. A vector
    of a block with several slots is left out of all of them. The same examples are scored each time. A causal model
    computes the prefix before a vector once for all variants; with slots before the text it computes the text again
    for each of them.

    Args:
        clf: a fitted classifier.
        X: examples, as for `predict`; not the training examples, or the changes show memorised ones.
        y: their labels.

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: its template has no soft slots, or it gives an example several labels.
        DataError: examples and labels that do not match each other or the prompt.
        EncodingError: without its only vector, a causal model has no token before the mask.

    Source:
        Leave-one-out ablation, as for attention heads in Michel et al., NeurIPS 2019, arXiv:1905.10650. They set
        heads to zero. A vector of zeros is still attended to, so here the position is removed as well.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny", "<soft*2> It was <mask>. <text>", {"bad": "bad", "good": "good"},
        ...     random_state=0, model_options={"dtype": "float32", "device": "cpu"},
        ... )  # fmt: skip
        >>> texts, labels = ["A delight.", "Dull.", "I loved it.", "Awful."], ["good", "bad"] * 2
        >>> deletions = delete_vectors(clf.fit(texts, labels), texts, labels)
        >>> [(vector.block, vector.position) for vector in deletions.vectors]
        [('#1', 1), ('#1', 2)]
        >>> bool(deletions.whole.accuracy == clf.score(texts, labels))
        True
    """
    bound, soft = soft_prompt_of(clf)
    rows = labelled_examples(bound.prompt, X, y)
    prompts = bound.encode(rows.examples)
    variants = [prompts]
    variants += [[without(prompt, row) for prompt in prompts] for row in range(len(soft.weight))]
    # common prefixes of the variants are computed once
    features = bound.features([prompt for variant in variants for prompt in variant]).split(len(prompts))
    whole, *others = (evaluate(bound, of_variant, rows.targets) for of_variant in features)
    vectors = [_compared(whole, other, *place) for other, place in zip(others, vector_positions(soft), strict=True)]
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


def _compared(whole: Evaluation, other: Evaluation, block: str, position: int) -> DeletedVector:
    changes = other.losses - whole.losses
    lost, gained = int((whole.right & ~other.right).sum()), int((other.right & ~whole.right).sum())
    return DeletedVector(
        block=block,
        position=position,
        score=other.score,
        accuracy_change=(gained - lost) / len(changes),
        log_loss_change=float(changes.mean()),
        log_loss_error=float(changes.std(ddof=1) / len(changes) ** 0.5) if len(changes) > 1 else 0.0,
        lost=lost,
        gained=gained,
    )
