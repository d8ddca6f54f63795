"""The fixed front of a prompt as an adapter of PEFT: its vectors, or its keys and values."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softcloze.backbone import Backbone, PrefixCache, SoftInputs
from softcloze.backbone.compatibility import UNSUPPORTED, scores_close
from softcloze.backbone.fingerprint import active_adapters
from softcloze.backbone.quantisation import NONE
from softcloze.demonstrations import NearestDemonstrations
from softcloze.encoding import CompiledTemplate, Demonstration, EncodedPrompt
from softcloze.errors import BackboneError, ParameterError
from softcloze.files import validate_new_folder
from softcloze.prompt.folder import folder_of
from softcloze.prompt.front import PROBES, Front, split_front
from softcloze.prompt.peft_folder import write_adapter
from softcloze.scoring.plan import ModelInput
from softcloze.soft import SoftVectors
from softcloze.template import Soft

if TYPE_CHECKING:
    from transformers import DynamicCache

    from softcloze.prompt.generator import GeneratorPrompt
    from softcloze.prompt.prompt import Prompt

# attributes of soft slots whose vectors are the same for every example
_PLAIN = ("count", "init", "name", "layers", "mode", "train", "via")
CANNOT = "this prompt cannot be exported to PEFT"


def validate_exportable(prompt: "Prompt | GeneratorPrompt", path: str | PathLike[str], backbone: Backbone) -> Path:
    """Check what shows before a prompt is compiled, and return the folder to write.

    Raises:
        ParameterError: the template, the demonstrations or the model cannot be exported.
        ArtifactError: the prompt belongs to another model.
        FileError: the folder is in use.
    """
    folder = folder_of(path)
    validate_new_folder(folder)
    if reason := _reason(prompt):
        raise ParameterError(f"{CANNOT}: {reason}")
    prompt.validate_backbone(backbone)
    if backbone.quantisation != NONE:
        raise ParameterError(
            f"{CANNOT}: it was trained on weights of the form {backbone.quantisation}, on which PEFT computes other "
            "scores; fit on the model without the option quantize"
        )
    if active_adapters(backbone.model):
        raise ParameterError(
            f"{CANNOT}: its model has an adapter, and PEFT runs one kind at a time; merge it with "
            "peft_model.merge_and_unload() and fit on the merged model"
        )
    return folder


def export_front(
    prompt: "Prompt | GeneratorPrompt",
    compiled: CompiledTemplate,
    backbone: Backbone,
    folder: Path,
    model_input_of: Callable[[EncodedPrompt], ModelInput],
    readme_of: Callable[[Front, EncodedPrompt], str],
) -> Front:
    """Write the front of a prompt as an adapter, after a comparison of its scores with those of the prompt.

    Args:
        prompt: the prompt, which `validate_exportable` accepts.
        compiled: its template.
        backbone: its model.
        folder: the folder to write.
        model_input_of: the sequence of a prompt, with the positions at which scores are compared as its `state`.
        readme_of: writes README.md for the front and an example.

    Raises:
        ParameterError: an adapter cannot hold the prompt.
        BackboneError: the model runs otherwise in PEFT.
        FileError: the folder cannot be written.
    """
    demonstrations: Sequence[Demonstration] = ()
    if prompt.demonstrations is not None:
        (demonstrations,) = prompt.demonstrations.select([{}], backbone)
    front = split_front(compiled, demonstrations)
    examples = [dict.fromkeys(prompt.template.fields, probe) for probe in PROBES[:2]]
    encoded = compiled.encode(examples, demonstrations=[demonstrations] * len(examples))
    if any(of_example.token_type_ids is not None for of_example in encoded):
        raise ParameterError(
            f"{CANNOT}: <sep> begins a second segment with token types of its own, which PEFT does not pass on; write "
            "the two texts as one, without <sep>"
        )
    soft = None
    with torch.no_grad():
        if blocks := compiled.blocks:
            soft = SoftVectors.from_blocks(blocks, prompt.vectors, prompt.deep).to(backbone.device).inputs()
        if prompt.deep:
            front_states: Tensor | PrefixCache = _prefix(front, backbone, soft)
        else:
            front_states = _vectors(front, backbone, soft)
    _validate_same_scores(backbone, front, front_states, soft, [model_input_of(example) for example in encoded])
    write_adapter(folder, front_states, backbone, readme_of(front, encoded[0]))
    return front


def _reason(prompt: "Prompt | GeneratorPrompt") -> str:
    """Reason why an adapter cannot hold a prompt, as far as its template and demonstrations show; empty for none."""
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
            f"{CANNOT}: its soft vectors enter at later layers, which become keys and values of the front, and "
            f"{backbone.prefix_cache_reason}"
        )
    with backbone.frozen():
        prefix = backbone.prefill([front.ids], soft)
    shapes = {tensor.shape for layer in prefix.layers for tensor in layer}
    if len(shapes) > 1:
        raise ParameterError(f"{CANNOT}: the keys of its layers have different shapes, and PEFT has one for all")
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
    inputs: Sequence[ModelInput],
) -> None:
    """Raise BackboneError if the model scores a text after the front as PEFT gives both in another way.

    PEFT gives neither position ids nor token ids.
    """
    for model_input in inputs:
        source = model_input.source or model_input.ids
        rows = backbone.embed(torch.tensor([source[len(front.ids) :]], device=backbone.device))
        mask = torch.ones(1, len(source), dtype=torch.long, device=backbone.device)
        arguments: dict[str, Any] = {"attention_mask": mask}
        state = list(model_input.states[0])
        if isinstance(front_states, PrefixCache):
            arguments |= {"past_key_values": _cache(backbone, front_states), "use_cache": True}
            state = [position - len(front.ids) for position in state]
        else:
            rows = torch.cat([front_states.to(rows.dtype)[None], rows], 1)
        if model_input.source:
            arguments["decoder_input_ids"] = torch.tensor([model_input.ids], device=rows.device)
        with backbone.frozen(), torch.no_grad():
            expected = backbone.outputs(
                [model_input.ids],
                [model_input.states[0]],
                sources=[model_input.source],
                soft=soft,
            ).logits.float()
            try:
                scores = backbone.model(inputs_embeds=rows, **arguments, return_dict=True).logits[0, state].float()
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
