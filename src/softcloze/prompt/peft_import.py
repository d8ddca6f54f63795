"""Import of a PEFT adapter: its vectors as a soft block in front of a template."""

from collections.abc import Sequence
from os import PathLike

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.encoding import CompiledTemplate, PromptTokenizer
from softcloze.errors import ArtifactError, EncodingError, ParameterError
from softcloze.prompt.front import Splitter
from softcloze.prompt.peft_folder import read_adapter
from softcloze.prompt.prefixes import starts_with, validate_prefix
from softcloze.template import Literal, Soft, Special, Template
from softcloze.template.nodes import Node

BLOCK = "peft"


def from_peft(
    path: str | PathLike[str], after: Template, backbone: Backbone, task: int | None, options: Sequence[str] = ()
) -> tuple[Template, dict[str, Tensor], dict[str, Tensor]]:
    """Read an adapter as the template, the vectors and the prefixes of a prompt: see `Prompt.from_peft`.

    Args:
        path: the folder of the adapter.
        after: the tail.
        backbone: the model that the adapter was trained on.
        task: index of the task of an adapter of several.
        options: the first label words of all labels, for <options>.
    """
    tokenizer = backbone.prompt_tokenizer
    _validate_tail(after, tokenizer)
    vectors = read_adapter(path, task)
    is_prefix = vectors.dim() > 2
    if is_prefix:
        validate_prefix(vectors, backbone)
    elif vectors.shape[-1] != backbone.width:
        raise ArtifactError(
            f"the adapter in {path} has vectors of width {vectors.shape[-1]}, and {backbone.name} has "
            f"{backbone.width}; load it with the model that it was trained on"
        )
    added = tokenizer.ids("".join(tokenizer.prefix_markers))
    specials: list[Special] = []
    if is_prefix and starts_with(vectors, added, backbone):
        raise ArtifactError(
            f"the keys and values in {path} are those of {tokenizer.prefix_markers[0]!r} and what follows it, as "
            "to_peft writes them; load the saved prompt instead"
        )
    if not is_prefix and added and _starts_with(vectors, added, backbone):
        vectors = vectors[len(added) :]
        if not len(vectors):
            return after, {}, {}
    else:
        specials = [_special(marker, tokenizer) for marker in tokenizer.prefix_markers]
    front: list[Node] = [Soft(vectors.shape[2] if is_prefix else len(vectors), name=BLOCK), *specials]
    tensors = {BLOCK: vectors}
    both: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, tensors) if is_prefix else (tensors, {})
    template = Template.from_nodes([*front, *after.nodes])
    if template.has_logic:
        return template, *both

    def splitter(candidate: Template) -> Splitter:
        return Splitter(CompiledTemplate(candidate, tokenizer, backbone.max_length, options=options))

    text = splitter(template).tail(len(front))
    # a tokenizer that marks the start of a text as word-initial does not do so after vectors, unless a space is there
    for candidate in (template, Template.from_nodes([*front, Literal(" "), *after.nodes])):
        if splitter(candidate).front_ids(text) is not None:
            return candidate, *both
    raise EncodingError(
        f"after vectors, the tail {str(after)!r} has other tokens than those that the tokenizer gives it by itself, "
        "with which PEFT trained"
    )


def _validate_tail(tail: Template, tokenizer: PromptTokenizer) -> None:
    """Raise ParameterError if the tail is none that PEFT can have trained with."""
    if tail.turns:
        raise ParameterError("the tail has chat turns, which a chat template frames as a whole; write it as text")
    if tail.lists:
        raise ParameterError("the tail has <options field=…>; write the field as text, joined as in training")
    if tail.blocks:
        raise ParameterError("the tail has soft slots, and all vectors of an adapter stand in front of it")
    if tokenizer.has_token_types and Special("sep") in tail.nodes:
        raise ParameterError("the tail has <sep>, which gives the text after it token types, and PEFT passes none on")


def _starts_with(vectors: Tensor, ids: list[int], backbone: Backbone) -> bool:
    """Return True if the first vectors are the input embeddings of tokens, as an exported prompt has them."""
    embedded = backbone.embed(torch.tensor(ids)).float().cpu()
    return len(vectors) >= len(ids) and torch.equal(vectors[: len(ids)], embedded)


def _special(marker: str, tokenizer: PromptTokenizer) -> Special:
    """The tag of the special token with this marker."""
    kind = tokenizer.kind_of(marker)
    if kind is None:
        name = tokenizer.without_markers(marker)
        raise ParameterError(
            f"the tokenizer puts {name!r} in front of a text, after the vectors of PEFT, and no tag of a template is it"
        )
    return Special(kind)
