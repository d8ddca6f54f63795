"""Replace soft vectors by their nearest words: from a soft prompt to a hard one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal as OneOf

from torch import Tensor

from softcloze.analysis.evaluation import (
    FittedClassifier,
    LabelledExamples,
    Score,
    evaluate,
    labelled_examples,
    soft_prompt_of,
)
from softcloze.analysis.nearest_words import nearest_words, word_of, writable_words
from softcloze.data import Example
from softcloze.display import Block, Column, Displayable, Table
from softcloze.encoding import EncodedPrompt, PromptTokenizer
from softcloze.errors import ParameterError
from softcloze.parameters import one_of, validate_parameters
from softcloze.prompt import BoundPrompt
from softcloze.soft import SoftVectors
from softcloze.template import Expression, Field, Literal, Node, Options, Soft, Template, without_slots
from softcloze.verbalizer import Label

Measure = OneOf["cosine", "distance"]


@dataclass(frozen=True, slots=True)
class Hardening:
    """Scores of each step from a soft prompt to a hard one, on labelled examples.

    Attributes:
        rows: number of examples.
        soft: score of the soft prompt.
        nearest: score with the embeddings of the nearest words instead of the vectors.
        hard: score of the template with the nearest words as text.
        bare: score of the template without its slots.
        same_tokens: examples for which the text has exactly the tokens of the nearest words. If it is 0, the words
            cannot be written side by side, and `hard` says little about them.
    """

    rows: int
    soft: Score
    nearest: Score
    hard: Score
    bare: Score
    same_tokens: int


@dataclass(frozen=True, slots=True)
class HardPrompt(Displayable):
    """The hard prompt nearest to a soft one; `print`, `rich.print` and notebooks show it.

    Attributes:
        template: the template with the nearest words instead of its slots.
        words: block -> the readable word nearest to each of its vectors.
        measured: scores, if labelled examples were given.
    """

    template: Template
    words: Mapping[str, tuple[str, ...]]
    measured: Hardening | None = None

    def content(self) -> Sequence[Block]:
        """The words, the template, and the scores of each step."""
        blocks: list[Block] = [
            Table(
                [
                    Column("block", list(self.words)),
                    Column("nearest words", [" ".join(words) for words in self.words.values()]),
                ]
            ),
            f"template: {self.template}",
        ]
        if self.measured is not None:
            measured = self.measured
            steps = {
                "soft prompt": measured.soft,
                "nearest words in the slots": measured.nearest,
                "nearest words as text": measured.hard,
                "template without its slots": measured.bare,
            }
            blocks += [
                f"{measured.rows:,} rows; the text has the very tokens of the words in "
                f"{measured.same_tokens:,} of them",
                Table(
                    [
                        Column("prompt", list(steps)),
                        Column("accuracy", [f"{score.accuracy:.3f}" for score in steps.values()], is_number=True),
                        Column("log-loss", [f"{score.log_loss:.3f}" for score in steps.values()], is_number=True),
                    ]
                ),
            ]
        return blocks


def harden(
    clf: FittedClassifier,
    X: Iterable[Example] | None = None,
    y: Iterable[Label] | None = None,
    by: Measure = "cosine",
) -> HardPrompt:
    r"""Replace soft vectors by their nearest words.

    Words that text cannot hold are left out: special tokens and parts of a character. In a template with <demos>, each
    demonstration has the words too, but no soft slots.

    Args:
        clf: a fitted classifier.
        X: examples to measure on, as for `predict`, if any.
        y: their labels.
        by: measure of nearness: "cosine" or Euclidean "distance".

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: its template has no soft slots, or some whose vectors depend on a field (from=); it gives an
            example several labels, `by` is unknown, or there are examples without labels.
        DataError: examples and labels that do not match each other or the prompt.
        EncodingError: without the slots, a causal model has no token before the mask.

    Source:
        Khashabi et al., NAACL 2022, arXiv:2112.08348: soft prompts that do well exist close to any text, even to
        one that says the opposite; so the words do not explain the prompt.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny", '<soft init="a film">: It was <mask>. <text>', {"bad": "bad", "good": "good"},
        ...     random_state=0, model_options={"dtype": "float32", "device": "cpu"},
        ... )  # fmt: skip
        >>> texts, labels = ["A delight.", "Dull.", "I loved it.", "Awful."], ["good", "bad"] * 2
        >>> harden(clf.fit(texts, labels)).template
        Template('a film: It was <mask>. <text>')
    """
    validate_parameters({"by": by}, {"by": one_of("cosine", "distance")})
    if (X is None) != (y is None):
        raise ParameterError("accuracy takes examples and their labels; give both X and y, or neither")
    bound, soft = soft_prompt_of(clf)
    if dependent := [block for block in soft.blocks if block.from_ is not None]:
        raise ParameterError(
            f"soft block {dependent[0].key!r} depends on the field {dependent[0].from_!r} (from=): the words nearest "
            "to its vectors are others for each example"
        )
    backbone = bound.backbone
    nearest = nearest_words(backbone, soft.weight, writable_words(backbone), 1)
    ids = (nearest.by_cosine if by == "cosine" else nearest.by_distance).ids[:, 0]
    blocks = {block.key: ids[list(block.rows)].tolist() for block in soft.blocks}
    template = with_words(bound.prompt.template, blocks, backbone.prompt_tokenizer)
    measured = None
    if X is not None and y is not None:
        measured = _measure(bound, soft, template, ids, labelled_examples(bound.prompt, X, y))
    words = {key: tuple(word_of(backbone, token) for token in tokens) for key, tokens in blocks.items()}
    return HardPrompt(template, words, measured)


def _measure(
    bound: BoundPrompt, soft: SoftVectors, template: Template, ids: Tensor, rows: LabelledExamples
) -> Hardening:
    """Evaluate the soft prompt, its nearest words in the slots and as text, and the template without slots."""
    words = bound.backbone.embed(ids).float()
    prompts = bound.encode(rows.examples)
    in_slots, nearest = (
        evaluate(bound, bound.compiled.features(prompts, vectors), rows.targets).score
        for vectors in (soft, SoftVectors(soft.blocks, words))
    )
    as_text, hard = _hard(bound, template, rows)
    _, bare = _hard(bound, without_slots(bound.prompt.template), rows)
    same = sum(_filled(one, ids.tolist()) == other.chunks for one, other in zip(prompts, as_text, strict=True))
    return Hardening(len(rows.examples), in_slots, nearest, hard, bare, same)


def _hard(bound: BoundPrompt, template: Template, rows: LabelledExamples) -> tuple[list[EncodedPrompt], Score]:
    """The encoded examples and the score of the prompt with another template, which has no soft slots."""
    hard = BoundPrompt(replace(bound.prompt, template=template, vectors={}, deep={}), bound.backbone)
    prompts = hard.encode(rows.examples)
    return prompts, evaluate(hard, hard.features(prompts), rows.targets).score


def _filled(prompt: EncodedPrompt, ids: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The chunks of a prompt with tokens in its slots."""
    return tuple(tuple(ids[-1 - i] if i < 0 else i for i in piece) for piece in prompt.chunks)


def with_words(template: Template, blocks: Mapping[str, Sequence[int]], prompt_tokenizer: PromptTokenizer) -> Template:
    """Replace the soft slots of a template by words.

    The words are spelt so that the tokenizer gives their tokens after the text before them, where possible. They become
    literals: nothing in them is a tag.

    Args:
        template: the template.
        blocks: block key -> token ids of its words.
        prompt_tokenizer: the model's tokenizer.
    """
    nodes: list[Node] = []
    after_words = False
    for i, node in enumerate(template.nodes):
        if isinstance(node, Soft):
            before = ""
            if nodes and isinstance(last := nodes[-1], Literal):
                before = last.text.rstrip()  # a slot takes in the white space before it
                nodes.pop()
            words = _spelt(blocks[template.block_of(i).key], before, prompt_tokenizer)
            parted = " " if _run_together(before if before or not nodes else nodes[-1], words) else ""
            nodes.append(Literal(before + parted + words))
        elif after_words and isinstance(last := nodes[-1], Literal) and _run_together(last.text, node):
            nodes += [Literal(" "), node]
        else:
            nodes.append(node)
        after_words = isinstance(node, Soft)
    return Template.from_nodes(nodes)


def _spelt(ids: Sequence[int], before: str, prompt_tokenizer: PromptTokenizer) -> str:
    """Spell tokens, with or without a space before them, so that after `before` they are the same tokens."""
    text = prompt_tokenizer.decode(ids)
    known = prompt_tokenizer.ids(before)
    candidates = (text, f" {text.lstrip()}", text.lstrip())
    return next((spelt for spelt in candidates if prompt_tokenizer.ids(before + spelt) == [*known, *ids]), text)


def _run_together(one: str | Node, other: str | Node) -> bool:
    """True if two words would become one without a space between them; unknown text counts as a word."""
    return all(map(_is_of_word, (_edge(one, -1), _edge(other, 0))))


def _edge(part: str | Node, at: int) -> str:
    """The first or the last character."""
    match part:
        case Literal(text):
            return text[at]
        case str():
            return part[at] if part else ""
        case Field() | Expression() | Options():
            return "x"
        case _:
            return ""


def _is_of_word(char: str) -> bool:
    """True for a character of words that are separated by spaces: not punctuation, not a Chinese character.

    >>> [*map(_is_of_word, ("a", "é", "7", "好", ":", ""))]
    [True, True, True, False, False, False]
    """
    return char.isalnum() and char < "\u2e80"
