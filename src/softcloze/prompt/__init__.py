"""Prompts, probes on sentence embeddings, and ensembles of both that are saved, bound to their models and scored."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softcloze.prompt.arithmetic import combine as combine
    from softcloze.prompt.bound import BoundPrompt as BoundPrompt
    from softcloze.prompt.bound import TrainedParts as TrainedParts
    from softcloze.prompt.bound_ensemble import BoundEnsemble as BoundEnsemble
    from softcloze.prompt.bound_generator import BoundGenerator as BoundGenerator
    from softcloze.prompt.card import CARD as CARD
    from softcloze.prompt.compiled import CompiledPrompt as CompiledPrompt
    from softcloze.prompt.compiled_generator import CompiledGenerator as CompiledGenerator
    from softcloze.prompt.generator import GeneratorPrompt as GeneratorPrompt
    from softcloze.prompt.members import BoundMember as BoundMember
    from softcloze.prompt.mixed_rows import EncodedRow as EncodedRow
    from softcloze.prompt.mixed_rows import RowPrediction as RowPrediction
    from softcloze.prompt.probe import BoundProbe as BoundProbe
    from softcloze.prompt.probe import Probe as Probe
    from softcloze.prompt.prompt import Prompt as Prompt
    from softcloze.prompt.prompt_set import PromptSet as PromptSet

_MODULES = {
    "CARD": "card",
    "BoundEnsemble": "bound_ensemble",
    "BoundGenerator": "bound_generator",
    "BoundMember": "members",
    "BoundProbe": "probe",
    "BoundPrompt": "bound",
    "CompiledGenerator": "compiled_generator",
    "CompiledPrompt": "compiled",
    "EncodedRow": "mixed_rows",
    "GeneratorPrompt": "generator",
    "Probe": "probe",
    "Prompt": "prompt",
    "PromptSet": "prompt_set",
    "RowPrediction": "mixed_rows",
    "TrainedParts": "bound",
    "combine": "arithmetic",
}

# spelt out for tools that read the code without running it, as the site of the documentation does
__all__ = [
    "CARD",
    "BoundEnsemble",
    "BoundGenerator",
    "BoundMember",
    "BoundProbe",
    "BoundPrompt",
    "CompiledGenerator",
    "CompiledPrompt",
    "EncodedRow",
    "GeneratorPrompt",
    "Probe",
    "Prompt",
    "PromptSet",
    "RowPrediction",
    "TrainedParts",
    "combine",
]


def __getattr__(name: str) -> object:
    """Import a name on first use: the card of a saved prompt is read without torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'softcloze.prompt' has no attribute {name!r}")
    return getattr(import_module(f"softcloze.prompt.{_MODULES[name]}"), name)
