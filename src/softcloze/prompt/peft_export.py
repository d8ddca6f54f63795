"""Export of a classifier's prompt as a PEFT adapter."""

from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.prompt.compiled import CompiledPrompt
from softcloze.prompt.front import Front
from softcloze.prompt.peft_front import CANNOT, export_front, validate_exportable
from softcloze.prompt.peft_readme import write_readme
from softcloze.scoring.families import state_input_of
from softcloze.verbalizer import Verbalizer

if TYPE_CHECKING:
    from softcloze.prompt.prompt import Prompt


def to_peft(prompt: "Prompt", path: str | PathLike[str], backbone: Backbone) -> Front:
    """Write a prompt as a PEFT adapter: see `Prompt.to_peft`.

    Returns:
        The front that the vectors replace, and the tail after it.
    """
    if reason := _reason(prompt):
        raise ParameterError(f"{CANNOT}: {reason}")
    folder = validate_exportable(prompt, path, backbone)
    verbalizer = prompt.verbalizer
    assert isinstance(verbalizer, Verbalizer)
    compiled = CompiledPrompt(
        prompt.template, verbalizer, backbone, prompt.max_length, prompt.head, prompt.chat_options, prompt.features
    )
    several = any(len(ids) > 1 for ids in compiled.words)
    if several and verbalizer.decoding != "together" and backbone.family == "masked":
        raise ParameterError(
            f"{CANNOT}: decoding={verbalizer.decoding!r} fills in the tokens of a word one by one; use words of one "
            'token, or decoding="together"'
        )
    if backbone.family == "causal" and compiled.template.has_field_after_mask:
        raise ParameterError(
            f"{CANNOT}: a field stands after <mask>, which a causal model scores anew for each label word; put <mask> "
            "after the fields"
        )

    def readme(front: Front, example: EncodedPrompt) -> str:
        right = example.right if backbone.family == "causal" else ()
        return write_readme(front, compiled, verbalizer, right, folder, deep=bool(prompt.deep))

    return export_front(prompt, compiled.template, backbone, folder, partial(state_input_of, backbone), readme)


def _reason(prompt: "Prompt") -> str:
    """Reason why an adapter cannot hold the parts that a classifier's prompt alone has; empty for none."""
    if prompt.head != "words":
        return f"head={prompt.head!r} has weights of its own after the model, and an adapter has vectors before it"
    if type(prompt.verbalizer) is not Verbalizer:
        return f"a {type(prompt.verbalizer).__name__} combines scores in a way of its own; take a Verbalizer"
    if prompt.calibration is not None:
        return (
            "its calibration corrects scores after the model, and an adapter has vectors before it; fit with "
            "calibration=None, or export dataclasses.replace(prompt, calibration=None) and subtract its bias yourself"
        )
    return ""
