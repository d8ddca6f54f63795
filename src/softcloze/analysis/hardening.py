"""The hard prompt that can be read off a soft one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal as OneOf
from typing import NamedTuple

from torch import Tensor

from softcloze.analysis.evaluation import Fitted, FittedPrompt, Rows, Score, opened, outcome, read_rows
from softcloze.analysis.nearest_words import nearest_words, word_of, writable_words
from softcloze.data import Example
from softcloze.display import Block, Column, Displayable, Table
from softcloze.encoding import EncodedPrompt, PromptTokenizer
from softcloze.errors import ParameterError
from softcloze.prompt import BoundPrompt
from softcloze.soft import SoftVectors
from softcloze.template import Expression, Field, Literal, Node, Options, Soft, Template, without_slots
from softcloze.verbalizer import Label

Measure = OneOf["cosine", "distance"]


@dataclass(frozen=True, slots=True)
class Hardening:
    """How well a soft prompt does on labelled rows when it is hardened, step by step.

    Attributes:
        rows: how many rows.
        soft: of the soft prompt.
        nearest: of the soft prompt with the embeddings of the words in the place of its vectors.
        hard: of the template with the words written into it.
        bare: of the template without its slots.
        same_tokens: rows of which the template with the words makes just these words and no other tokens: where it
            is none, the words cannot be written side by side, and `hard` says little about them.
    """

    rows: int
    soft: Score
    nearest: Score
    hard: Score
    bare: Score
    same_tokens: int


@dataclass(frozen=True, slots=True)
class HardPrompt(Displayable):
    """The hard prompt read off a soft one; `print` and `rich.print` show it, and so do notebooks.

    Attributes:
        template: the template with the nearest words in the place of its slots.
        words: block -> the word nearest to each of its vectors, fit to be read.
        measured: how well it does, if there were labelled rows.
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
    clf: Fitted,
    X: Iterable[Example] | None = None,
    y: Iterable[Label] | None = None,
    by: Measure = "cosine",
) -> HardPrompt:
    r"""Put the nearest words in the place of soft vectors.

    Words are chosen among those that text can hold: special tokens and parts of a character are left out. Where the
    template has <demos>, the words stand in each demonstration as well, which soft slots do not.

    Args:
        clf: a fitted classifier.
        X: examples to measure on, as for `predict`, if any.
        y: their labels.
        by: what "nearest" means: "cosine" or Euclidean "distance".

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: its template has no soft slots, it gives an example several labels, `by` is unknown, or there
            are examples without labels.
        DataError: examples and labels that do not fit together or the prompt.
        EncodingError: nothing stands before the mask of a causal model without the slots.

    Source:
        Khashabi et al., NAACL 2022, arXiv:2112.08348: soft prompts that do well can be found next to any text
        whatever, also one that says the opposite; so the words are no account of what the prompt does.

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
    if by not in ("cosine", "distance"):
        raise ParameterError(f"by={by!r} is unknown; expected 'cosine' or 'distance'")
    if (X is None) != (y is None):
        raise ParameterError("accuracy takes examples and their labels; give both X and y, or neither")
    prompt = opened(clf)
    backbone = prompt.backbone
    nearest = nearest_words(backbone, prompt.soft.weight, writable_words(backbone), 1)
    ids = (nearest.by_cosine if by == "cosine" else nearest.by_distance).ids[:, 0]
    blocks = {block.key: ids[list(block.rows)].tolist() for block in prompt.soft.blocks}
    template = with_words(prompt.prompt.template, blocks, backbone.prompt_tokenizer)
    measured = None
    if X is not None and y is not None:
        measured = _measure(prompt, template, ids, read_rows(prompt.prompt, X, y))
    words = {key: tuple(word_of(backbone, token) for token in own) for key, own in blocks.items()}
    return HardPrompt(template, words, measured)


def _measure(soft_prompt: FittedPrompt, template: Template, ids: Tensor, rows: Rows) -> Hardening:
    """The soft prompt, its nearest words in the slots, `template` with the words, and the template with neither."""
    bound, soft = soft_prompt
    words = bound.backbone.embed(ids).float()
    prompts = bound.encode(rows.examples)
    features = bound.compiled.features(prompts, [soft, SoftVectors(soft.blocks, words)])
    in_slots, nearest = (outcome(bound, of_vectors, rows.targets).score for of_vectors in features)
    as_text, bare = (_hard(bound, hard, rows) for hard in (template, without_slots(bound.prompt.template)))
    same = sum(_filled(one, ids.tolist()) == other.chunks for one, other in zip(prompts, as_text.prompts, strict=True))
    return Hardening(len(rows.examples), in_slots, nearest, as_text.score, bare.score, same)


class _Hard(NamedTuple):
    """A template without soft slots, measured."""

    prompts: list[EncodedPrompt]
    score: Score


def _hard(soft_prompt: BoundPrompt, template: Template, rows: Rows) -> _Hard:
    """Evaluate the prompt with another template, which has no soft slots."""
    hard = BoundPrompt(replace(soft_prompt.prompt, template=template, vectors={}), soft_prompt.backbone)
    prompts = hard.encode(rows.examples)
    return _Hard(prompts, outcome(hard, hard.features(prompts), rows.targets).score)


def _filled(prompt: EncodedPrompt, ids: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The pieces of a prompt with tokens in its slots."""
    return tuple(tuple(ids[-1 - i] if i < 0 else i for i in piece) for piece in prompt.chunks)


def with_words(template: Template, blocks: Mapping[str, Sequence[int]], prompt_tokenizer: PromptTokenizer) -> Template:
    """The template with words in the place of its soft slots.

    They are written so that the tokenizer reads these words behind what stands before them, where it can. They are
    literals like any other: nothing in them is a tag.

    Args:
        template: the template.
        blocks: block key -> token ids of its words.
        prompt_tokenizer: the tokenizer that they belong to.
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
    """The text of tokens, with or without a space in front, so that behind `before` it is read as these tokens."""
    text = prompt_tokenizer.decode(ids)
    known = prompt_tokenizer.ids(before)
    candidates = (text, f" {text.lstrip()}", text.lstrip())
    return next((own for own in candidates if prompt_tokenizer.ids(before + own) == [*known, *ids]), text)


def _run_together(one: str | Node, other: str | Node) -> bool:
    """Whether two words would become one where there is no space between these; what is not known yet is a word."""
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
    """Whether words are written of it that have spaces between them: no punctuation, and no Chinese character.

    >>> [*map(_is_of_word, ("a", "é", "7", "好", ":", ""))]
    [True, True, True, False, False, False]
    """
    return char.isalnum() and char < "\u2e80"
