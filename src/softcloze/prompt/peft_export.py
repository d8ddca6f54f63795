"""Export of a prompt as a PEFT adapter."""

from collections.abc import Sequence
from dataclasses import fields
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softcloze.backbone import Backbone, PrefixCache, SoftInputs
from softcloze.backbone.compatibility import UNSUPPORTED, scores_close
from softcloze.backbone.fingerprint import active_adapters
from softcloze.backbone.quantisation import NONE
from softcloze.demonstrations import NearestDemonstrations
from softcloze.encoding import Demonstration, EncodedPrompt
from softcloze.errors import BackboneError, ParameterError
from softcloze.files import validate_new_folder
from softcloze.prompt.compiled import CompiledPrompt
from softcloze.prompt.folder import folder_of
from softcloze.prompt.front import PROBES, Front, split_front
from softcloze.prompt.peft_folder import write_adapter
from softcloze.prompt.peft_readme import write_readme
from softcloze.scoring.families import state_input_of
from softcloze.soft import SoftVectors
from softcloze.template import Soft
from softcloze.verbalizer import Verbalizer

if TYPE_CHECKING:
    from transformers import DynamicCache

    from softcloze.prompt.prompt import Prompt

# attributes of soft slots whose vectors are the same for every example
_PLAIN = ("count", "init", "name", "layers", "mode", "train", "via")
_CANNOT = "this prompt cannot be exported to PEFT"


def to_peft(prompt: "Prompt", path: str | PathLike[str], backbone: Backbone) -> Front:
    """Write a prompt as a PEFT adapter: see `Prompt.to_peft`.

    Returns:
        The front that the vectors replace, and the tail after it.
    """
    folder = folder_of(path)
    validate_new_folder(folder)
    if reason := _reason(prompt):
        raise ParameterError(f"{_CANNOT}: {reason}")
    verbalizer = prompt.verbalizer
    assert isinstance(verbalizer, Verbalizer)
    prompt.validate_backbone(backbone)
    if backbone.quantisation != NONE:
        raise ParameterError(
            f"{_CANNOT}: it was trained on weights of the form {backbone.quantisation}, on which PEFT computes other "
            "scores; fit on the model without the option quantize"
        )
    if active_adapters(backbone.model):
        raise ParameterError(
            f"{_CANNOT}: its model has an adapter, and PEFT runs one kind at a time; merge it with "
            "peft_model.merge_and_unload() and fit on the merged model"
        )
    compiled = CompiledPrompt(
        prompt.template, verbalizer, backbone, prompt.max_length, prompt.head, prompt.chat_options, prompt.features
    )
    several = any(len(ids) > 1 for ids in compiled.words)
    if several and verbalizer.decoding != "together" and backbone.family == "masked":
        raise ParameterError(
            f"{_CANNOT}: decoding={verbalizer.decoding!r} fills in the tokens of a word one by one; use words of one "
            'token, or decoding="together"'
        )
    if backbone.family == "causal" and compiled.template.has_field_after_mask:
        raise ParameterError(
            f"{_CANNOT}: a field stands after <mask>, which a causal model scores anew for each label word; put <mask> "
            "after the fields"
        )
    demonstrations: Sequence[Demonstration] = ()
    if prompt.demonstrations is not None:
        (demonstrations,) = prompt.demonstrations.select([{}], backbone)
    front = split_front(compiled.template, demonstrations)
    examples = [dict.fromkeys(prompt.template.fields, probe) for probe in PROBES[:2]]
    encoded = compiled.template.encode(examples, demonstrations=[demonstrations] * len(examples))
    if any(of_example.token_type_ids is not None for of_example in encoded):
        raise ParameterError(
            f"{_CANNOT}: <sep> begins a second segment with token types of its own, which PEFT does not pass on; write "
            "the two texts as one, without <sep>"
        )
    soft = None
    with torch.no_grad():
        if blocks := compiled.template.blocks:
            soft = SoftVectors.from_blocks(blocks, prompt.vectors, prompt.deep).to(backbone.device).inputs()
        if prompt.deep:
            front_states: Tensor | PrefixCache = _prefix(front, backbone, soft)
        else:
            front_states = _vectors(front, backbone, soft)
    _validate_same_scores(backbone, front, front_states, soft, encoded)
    right = encoded[0].right if backbone.family == "causal" else ()
    write_adapter(
        folder, front_states, backbone, write_readme(front, compiled, verbalizer, right, folder, deep=bool(prompt.deep))
    )
    return front


def _reason(prompt: "Prompt") -> str:
    """Reason why an adapter cannot hold a prompt, as far as the prompt itself shows; empty if it can."""
    if prompt.head != "words":
        return f"head={prompt.head!r} has weights of its own after the model, and an adapter has vectors before it"
    if type(prompt.verbalizer) is not Verbalizer:
        return f"a {type(prompt.verbalizer).__name__} combines scores in a way of its own; take a Verbalizer"
    if prompt.calibration is not None:
        return "its calibration corrects scores after the model; export dataclasses.replace(prompt, calibration=None)"
    if prompt.prefixes:
        return "it is a prefix of keys and values, imported from PEFT; the adapter that it comes from holds the same"
    if prompt.template.has_logic:
        return "its template has Jinja, so that no text is the same in every prompt; write it with fields alone"
    slots = (node for node in prompt.template.nodes if isinstance(node, Soft))
    if special := [name for slot in slots for name in _attributes(slot) if name not in _PLAIN]:
        return f"a soft slot has {special[0]}=, and an adapter has the same vectors for every example"
    if prompt.template.lists:
        return "<options field=...> lists other texts for each example, which README.md cannot say; leave it out"
    if isinstance(prompt.demonstrations, NearestDemonstrations):
        return "it selects demonstrations for each example; take demonstrations of method 'random', or none"
    return ""


def _attributes(slot: Soft) -> list[str]:
    """Names of the attributes that a soft slot is given."""
    return [item.name.rstrip("_") for item in fields(slot) if getattr(slot, item.name) != item.default]


def _prefix(front: Front, backbone: Backbone, soft: SoftInputs | None) -> PrefixCache:
    """The keys and values of the front, whose soft vectors enter at later layers as well."""
    if not backbone.supports_prefix_cache:
        raise ParameterError(
            f"{_CANNOT}: its soft vectors enter at later layers, which become keys and values of the front, and "
            f"{backbone.prefix_cache_reason}"
        )
    with backbone.frozen():
        prefix = backbone.prefill([front.ids], soft)
    shapes = {tensor.shape for layer in prefix.layers for tensor in layer}
    if len(shapes) > 1:
        raise ParameterError(f"{_CANNOT}: the keys of its layers have different shapes, and PEFT has one for all")
    return prefix


def _vectors(front: Front, backbone: Backbone, soft: SoftInputs | None) -> Tensor:
    """The input embeddings of the front, shape (vectors, width), float32."""
    ids = torch.tensor(front.ids, device=backbone.device)
    vectors = backbone.embed(ids.clamp(min=0)).float()
    if soft is not None:
        slots = (ids < 0).nonzero()[:, 0]
        vectors[slots] = soft.embeddings[-1 - ids[slots]]
    return vectors


def _validate_same_scores(
    backbone: Backbone,
    front: Front,
    front_states: Tensor | PrefixCache,
    soft: SoftInputs | None,
    encoded: Sequence[EncodedPrompt],
) -> None:
    """Raise BackboneError if the model scores a text after the front as PEFT gives both in another way.

    PEFT gives neither position ids nor token ids.
    """
    for prompt in encoded:
        model_input = state_input_of(backbone, prompt)
        source = model_input.source or model_input.ids
        rows = backbone.embed(torch.tensor([source[len(front.ids) :]], device=backbone.device))
        mask = torch.ones(1, len(source), dtype=torch.long, device=backbone.device)
        inputs: dict[str, Any] = {"attention_mask": mask}
        state = list(model_input.state)
        if isinstance(front_states, PrefixCache):
            inputs |= {"past_key_values": _cache(backbone, front_states), "use_cache": True}
            state = [position - len(front.ids) for position in state]
        else:
            rows = torch.cat([front_states.to(rows.dtype)[None], rows], 1)
        if model_input.source:
            inputs["decoder_input_ids"] = torch.tensor([model_input.ids], device=rows.device)
        with backbone.frozen(), torch.no_grad():
            expected = backbone.outputs(
                [model_input.ids],
                [model_input.state],
                sources=[model_input.source],
                soft=soft,
            ).logits.float()
            try:
                scores = backbone.model(inputs_embeds=rows, **inputs, return_dict=True).logits[0, state].float()
            except UNSUPPORTED as error:
                raise BackboneError(f"{backbone.name!r} does not run as PEFT runs it: {error}") from error
        if not scores_close(scores, expected.view_as(scores), backbone.model.dtype):
            raise BackboneError(
                f"{backbone.name!r} gives other scores where vectors stand in front of a text as in PEFT; its prompts "
                "cannot be exported"
            )


def _cache(backbone: Backbone, prefix: PrefixCache) -> "DynamicCache":
    """The keys and values of a prefix as transformers holds them."""
    from transformers import DynamicCache

    cache = DynamicCache(config=backbone.model.config)
    for layer, (keys, values) in enumerate(prefix.layers):
        cache.update(keys, values, layer)
    return cache
