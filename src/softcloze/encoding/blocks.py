"""Soft blocks of a template: the number of their vectors, and their rows in the matrix of soft vectors."""

from dataclasses import dataclass

from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.template import EMBEDDING, FromBy, LayerRange, Mode, Template, Via


@dataclass(frozen=True, slots=True)
class CompiledBlock:
    """A soft block and its rows in the matrix of soft vectors.

    Attributes:
        key: name of the block, or "#1", "#2", … if it has none.
        start: its first row.
        count: its number of rows.
        init: token ids of the words that initialise its vectors; empty if the template names none.
        layers: the layers of the model at which its vectors enter.
        mode: whether they are added to the hidden states in front of later layers, or replace them.
        via: the network whose output its input embeddings are while they are trained; None for none.
        train: False for a block that training leaves as it is.
        from_: the field that its vectors depend on; None for none.
        from_by: whether they depend on its input embeddings or on the states of the model: see `SoftBlock`.
    """

    key: str
    start: int
    count: int
    init: tuple[int, ...]
    layers: LayerRange = EMBEDDING
    mode: Mode = "add"
    via: Via | None = None
    train: bool = True
    from_: str | None = None
    from_by: FromBy = "embeddings"

    @property
    def late(self) -> bool:
        """True if its vectors depend on a field and enter at a later layer."""
        return self.from_ is not None and self.layers != EMBEDDING

    @property
    def rows(self) -> range:
        """Its rows in the matrix of soft vectors."""
        return range(self.start, self.start + self.count)


def compile_blocks(template: Template, prompt_tokenizer: PromptTokenizer) -> tuple[CompiledBlock, ...]:
    """Count the vectors of each soft block of `template` and assign rows to the blocks in order.

    Raises:
        EncodingError: the words of an init= have no tokens.
    """
    blocks = []
    start = 0
    for block in template.blocks:
        init = tuple(prompt_tokenizer.ids(block.init)) if block.init is not None else ()
        if block.init is not None and not init:
            raise EncodingError(f"init={block.init!r} of soft block {block.key!r} has no tokens in this vocabulary")
        count = block.count if block.count is not None else len(init)
        options = (block.layers, block.mode, block.via, block.train, block.from_, block.from_by)
        blocks.append(CompiledBlock(block.key, start, count, init, *options))
        start += count
    return tuple(blocks)
