"""Nearest words, movement and similarities of trained soft vectors."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from softcloze.analysis.evaluation import Fitted, soft_vectors_of, vector_positions
from softcloze.analysis.nearest_words import Neighbours, nearest_words, real_words, typical_length, word_of
from softcloze.analysis.soft_slots import LayerLengths, SoftSlot, layer_lengths, layer_table, soft_slots
from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.display import (
    Block,
    Cell,
    Choice,
    Column,
    Displayable,
    SimpleBlock,
    Styled,
    Table,
    fixed,
    named,
    table_width,
)
from softcloze.formatting import one_line
from softcloze.parameters import integer, validate_parameters
from softcloze.prompt.arithmetic import starting_vectors
from softcloze.prompt.sources import describe_source

MATRIX = 100  # vectors whose similarities a table may show
_DISTANCES, _COSINES = "nearest words by distance", "cosines between vectors"
_ATTRIBUTES = {_DISTANCES: "vectors", _COSINES: "similarities"}  # of an inspection


@dataclass(frozen=True, slots=True)
class VocabularyWord:
    """A word of the vocabulary that is near to a vector.

    Attributes:
        token: the readable word; a space is shown as ␣, half a character by its bytes (<0xE4>).
        cosine: between the vector and the word's input embedding.
        distance: Euclidean, in lengths of a typical word.
    """

    token: str
    cosine: float
    distance: float


@dataclass(frozen=True, slots=True)
class SoftVector:
    """One vector of a soft prompt.

    Attributes:
        block: the name that its slots share, or "#1", "#2", … for slots without a name.
        position: its position in the block, from 1.
        length: its Euclidean length, in lengths of a typical word: the root mean square length of an input embedding,
            `Backbone.embedding_rms` times the square root of the width.
        by_cosine: the words with the highest cosine, the highest first.
        by_distance: the words at the shortest distance, the shortest first.
        start: the word that it started from; None if unknown.
        moved: its distance from the start, in the same unit; None if unknown.
    """

    block: str
    position: int
    length: float
    by_cosine: tuple[VocabularyWord, ...]
    by_distance: tuple[VocabularyWord, ...]
    start: str | None = None
    moved: float | None = None


@dataclass(frozen=True, slots=True)
class SoftInspection(Displayable):
    """The vectors of a soft prompt; `print`, `rich.print` and notebooks show them as tables.

    `dataclasses.asdict` gives plain data for JSON.

    Attributes:
        vectors: all vectors, in the order of the template.
        similarities: the cosine between each two of them, rows and columns in that order.
        layers: lengths of the vectors at each later layer, if any enter there.
        constant: the blocks with train=no.
        slots: the blocks: where they enter, and what they depend on.
        sources: the source of each block that was composed from other prompts or trained over several tasks, as in the
            card.
    """

    vectors: tuple[SoftVector, ...]
    similarities: tuple[tuple[float, ...], ...]
    layers: tuple[LayerLengths, ...] = ()
    constant: tuple[str, ...] = ()
    slots: tuple[SoftSlot, ...] = ()
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def content(self) -> Sequence[Block]:
        """A summary, the vectors with their words, and their similarities; narrow terminals show a part of it."""
        names = named([(vector.block, vector.position) for vector in self.vectors])
        label = Column("vector", names)
        matrix: list[SimpleBlock] = []
        columns = table_width(self._vector_table(label))
        if 1 < len(names) <= MATRIX:
            values = zip(names, zip(*self.similarities, strict=True), strict=True)
            numbers = [Column(name, [*map(fixed, column)], is_number=True) for name, column in values]
            cosines = Table([label, *numbers])
            columns = max(columns, table_width(cosines))
            matrix = ["cosine between vectors", cosines]
        layouts: list[list[SimpleBlock]] = []
        for tables, left_out in self._vector_tables(label):
            if matrix:
                layouts.append([*tables, *matrix, *_hint(left_out, columns)])
                left_out = [*left_out, _COSINES]
            layouts.append([*tables, *_hint(left_out, columns)])
        sources = [f"block {one_line(key)}: {describe_source(source)}" for key, source in self.sources.items()]
        remarks = [slot.remark for slot in self.slots if slot.remark]
        blocks: list[Block] = [self._summary(), *remarks, *sources, Choice(layouts)]
        if len(names) > MATRIX:
            blocks.append(Styled(f"not shown: {_COSINES}; `{_ATTRIBUTES[_COSINES]}` has them in Python", "dim"))
        if self.layers:
            blocks += ["length at later layers, in units of the hidden states there", layer_table(self.layers)]
        return blocks

    def _summary(self) -> str:
        count = len(self.vectors)
        said = f"{count} {'vector' if count == 1 else 'vectors'}; lengths and distances in lengths of a typical word"
        if all(vector.start is not None for vector in self.vectors):
            kept = sum(vector.start == vector.by_cosine[0].token for vector in self.vectors)
            said += f"; {kept} of {count} still nearest to the word that they started from, by cosine"
        if self.constant:
            said += f"; not trained: {', '.join(self.constant)}"
        return said

    def _vector_tables(self, label: Column) -> Iterator[tuple[list[SimpleBlock], list[str]]]:
        """Tables of the vectors for ever narrower terminals, and the names of what they leave out."""
        yield [self._vector_table(label)], []
        left_out = [_DISTANCES]
        columns = self._vector_table(label).columns[:-1]
        yield [Table(columns)], left_out
        for count in range(max(len(vector.by_cosine) for vector in self.vectors), 0, -1):
            yield [Table(columns[:-1]), Table([label, self._by_cosine(count)])], left_out

    def _vector_table(self, label: Column) -> Table:
        columns = [label]
        if any(vector.start is not None for vector in self.vectors):
            columns.append(Column("start", ["" if vector.start is None else vector.start for vector in self.vectors]))
            moved = ["" if vector.moved is None else fixed(vector.moved) for vector in self.vectors]
            columns.append(Column("moved", moved, is_number=True))
        columns.append(Column("length", [fixed(vector.length) for vector in self.vectors], is_number=True))
        by_distance = [
            " · ".join(f"{word.token} {fixed(word.distance)}" for word in vector.by_distance) for vector in self.vectors
        ]
        return Table([*columns, self._by_cosine(), Column("nearest by distance", by_distance)])

    def _by_cosine(self, count: int | None = None) -> Column:
        """Nearest words by cosine, `count` of them on a line; None puts all on one."""
        cells: list[Cell] = []
        for vector in self.vectors:
            words = [f"{word.token} {fixed(word.cosine)}" for word in vector.by_cosine]
            step = count or max(1, len(words))
            cells.append([" · ".join(words[i : i + step]) for i in range(0, len(words), step)])
        return Column("nearest by cosine", cells)


def _hint(left_out: Sequence[str], columns: int) -> list[SimpleBlock]:
    """A line about what a narrow terminal leaves out; none if that is nothing."""
    if not left_out:
        return []
    names, attributes = " and ".join(left_out), " and ".join(f"`{_ATTRIBUTES[name]}`" for name in left_out)
    return [Styled(f"not shown: {names}; COLUMNS={columns} shows all, and {attributes} in Python", "dim")]


def inspect_soft(clf: Fitted, words: int = 3, examples: Iterable[Example] | None = None) -> SoftInspection:
    """Compare the vectors of a soft prompt with words, with their start and with each other.

    Args:
        clf: a fitted classifier or generator.
        words: number of nearest words to list, by either measure.
        examples: the training examples, in any order; only `soft_init="vocabulary"` needs them, to find the words that
            the vectors started from.

    Raises:
        NotFittedError: `clf` is not fitted.
        ParameterError: its template has no soft slots, `words` is below 1, or `examples` are not the training examples.
        ArtifactError: its prompt belongs to another model.

    Source:
        Lester et al., EMNLP 2021, arXiv:2104.08691, section 7, who list the nearest words by cosine. We add the
        distance: after a few examples vectors are still close to the words that they started from.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny", '<soft init="a film"> It was <mask>. <text>', {"bad": "bad", "good": "good"},
        ...     random_state=0, model_options={"dtype": "float32", "device": "cpu"},
        ... )  # fmt: skip
        >>> texts, labels = ["A delight.", "Dull.", "I loved it.", "Awful."], ["good", "bad"] * 2
        >>> inspection = inspect_soft(clf.fit(texts, labels))
        >>> [(vector.start, vector.by_cosine[0].token) for vector in inspection.vectors]
        [('a', 'a'), ('film', 'film')]
    """
    validate_parameters({"words": words}, {"words": integer(at_least=1)})
    bound, soft = soft_vectors_of(clf)
    backbone, unit = bound.backbone, typical_length(bound.backbone)
    vectors = soft.weight.detach().cpu()
    known = real_words(backbone)
    nearest = nearest_words(backbone, vectors, known, words)
    by_cosine, by_distance = (_words_of(backbone, neighbours) for neighbours in nearest)
    start_words: list[str | None] = [None] * len(vectors)
    moved: list[float | None] = [None] * len(vectors)
    start = starting_vectors(bound, examples)
    if start is not None:
        at_start = nearest_words(backbone, start, known, 1).by_distance
        start_words = [word.token for (word,) in _words_of(backbone, at_start)]
        moved = ((vectors - start).norm(dim=-1) / unit).tolist()
    lengths = (vectors.norm(dim=-1) / unit).tolist()
    positions = zip(*vector_positions(soft), strict=True)
    soft_vectors = map(SoftVector, *positions, lengths, by_cosine, by_distance, start_words, moved)
    constant = tuple(block.key for block in soft.blocks if not block.train)
    layers, slots = layer_lengths(bound.prompt), soft_slots(bound.prompt)
    sources = bound.prompt.training.get("sources", {})
    return SoftInspection(tuple(soft_vectors), similarities(vectors), layers, constant, slots, sources)


def similarities(vectors: Tensor) -> tuple[tuple[float, ...], ...]:
    """The cosine between each two vectors, shape (vectors, vectors).

    >>> similarities(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    ((1.0, 0.0), (0.0, 1.0))
    """
    directions = torch.nn.functional.normalize(vectors.double(), dim=-1)
    return tuple(map(tuple, (directions @ directions.T).tolist()))


def _words_of(backbone: Backbone, neighbours: Neighbours) -> list[tuple[VocabularyWord, ...]]:
    """The nearest words of each vector."""
    rows = zip(neighbours.ids.tolist(), neighbours.cosines.tolist(), neighbours.distances.tolist(), strict=True)
    return [
        tuple(
            VocabularyWord(word_of(backbone, token), cosine, distance)
            for token, cosine, distance in zip(*row, strict=True)
        )
        for row in rows
    ]
