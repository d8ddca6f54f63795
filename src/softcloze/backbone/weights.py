"""Checks of a model's weights: complete, of the right shapes, finite, and enough for its tokenizer."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from softcloze.backbone.location import Location, cannot_load
from softcloze.backbone.precision import non_finite_tensors
from softcloze.encoding import PretrainedTokenizer
from softcloze.errors import BackboneError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LAYER = re.compile(r"(.*?)\.\d+\.")
_NAMED = 4  # weights in a message
# endings of the names of classes that transformers saves checkpoints of
_KINDS = {
    "ForSequenceClassification": "a classifier",
    "ForTokenClassification": "a token classifier",
    "ForQuestionAnswering": "a model for question answering",
    "ForMultipleChoice": "a model for multiple choice",
    "EncoderModel": "an encoder alone",
    "Model": "a model without a language-model head",
}


def validate_loaded(model: "PreTrainedModel", report: Mapping[str, Any], location: Location) -> None:
    """Raise BackboneError unless every weight of a model came from its checkpoint.

    transformers draws those that are missing at random, and only logs them. Tied weights come from their twin, and
    buffers from the configuration.

    Args:
        model: the loaded model.
        report: the loading info of transformers.
        location: the files of the model.
    """
    mismatched = sorted(report["mismatched_keys"])
    if mismatched:
        shapes = [f"{name} has shape {tuple(got)} and not {tuple(wanted)}" for name, got, wanted in mismatched]
        raise cannot_load(
            location.name,
            f"its weights do not fit its config.json: {_listed(shapes)}",
            "take config.json from the folder that the weights come from",
        )
    if more := _more_layers(model, report["unexpected_keys"]):
        raise cannot_load(
            location.name,
            f"its files hold layers beyond those of its config.json: {_listed(more)}",
            "where fewer layers are meant, load it with transformers and give (model, tokenizer)",
        )
    missing = sorted(report["missing_keys"] - {name for name, _ in model.named_buffers()})
    if not missing:
        return
    prefix = f"{model.base_model_prefix}."
    head = [name for name in missing if not name.startswith(prefix)]
    raise cannot_load(
        location.name,
        f"its files lack weights of {type(model).__name__}, and random ones would take their place",
        f"missing: {_listed(missing)}",
        _saved_from(model, location)
        if head == missing
        else "layers are missing: the files are incomplete, or of another architecture",
    )


@contextmanager
def quiet_report() -> Iterator[None]:
    """Keep transformers from logging its table of missing weights, which `validate_loaded` replaces."""
    logger = logging.getLogger("transformers.modeling_utils")

    def is_other(record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in ("LOAD REPORT", "checkpoint seem corrupted"))

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def import_models() -> None:
    """Import the models of transformers; with them comes torchao, if installed, whose messages on import are left out.

    It logs that compiled kernels do not fit the installed torch, which matters to none that softcloze runs.
    """
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]

    def drop(_: logging.LogRecord) -> bool:
        return False

    for logger in loggers:
        logger.addFilter(drop)
    try:
        import_module("transformers.modeling_utils")
    finally:
        for logger in loggers:
            logger.removeFilter(drop)


def _more_layers(model: "PreTrainedModel", unexpected: Collection[str]) -> list[str]:
    """Names of layers of a checkpoint whose lists of layers the model has, but shorter."""
    layers = {match[0] for name in model.state_dict() if (match := _LAYER.match(name))}
    lists = {layer.rsplit(".", 2)[0] for layer in layers}
    # a checkpoint of the base model has names without its prefix
    names = [*unexpected, *(f"{model.base_model_prefix}.{name}" for name in unexpected)]
    more = {match[0] for name in names if (match := _LAYER.match(name)) and match[1] in lists} - layers
    return sorted(layer.rstrip(".") for layer in more)


def _saved_from(model: "PreTrainedModel", location: Location) -> str:
    """Describe a checkpoint without a head, and name the one to take instead."""
    saved = next(iter(model.config.architectures or ()), "")
    kind = next((kind for ending, kind in _KINDS.items() if saved.endswith(ending)), "")
    if location.is_local and (Path(location.path) / "modules.json").is_file():
        kind = "a sentence-transformers model, without a language-model head"
    source = f"the checkpoint was saved from {saved}" + (f", {kind}; " if kind else "; ") if saved else ""
    return source + "take the pretrained language model that it was made from"


def validate_finite(model: nn.Module) -> None:
    """Raise BackboneError if a weight is NaN or infinite."""
    weights = dict(model.named_parameters())
    if broken := non_finite_tensors(weights):
        half = weights[broken[0]].dtype == torch.float16
        raise BackboneError(
            f"weights of {type(model).__name__} are not finite: {_listed(broken)}\n  "
            + ("float16 ends at 65504: load it in bfloat16 or float32" if half else "load another copy of the model")
        )


def validate_vocabulary(model: "PreTrainedModel", tokenizer: PretrainedTokenizer) -> None:
    """Raise BackboneError if a model has no embedding or no output for a token of its tokenizer."""
    kind = type(model).__name__
    rows = []
    for get in (model.get_input_embeddings, model.get_output_embeddings):
        embedding = get()
        weight = getattr(embedding, "weight", None)
        if not isinstance(weight, Tensor):
            raise BackboneError(
                f"{type(embedding).__name__} of {kind} has no tensor of weights, as after dynamic quantisation; "
                "take the model before it was quantised"
            )
        rows.append(len(weight))
    token, last = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if last >= min(rows):
        raise BackboneError(
            f"the tokenizer has tokens up to id {last} ({token!r}), and {kind} has {rows[0]:,} input embeddings and "
            f"{rows[1]:,} outputs\n  where tokens were added, call model.resize_token_embeddings({last + 1}); "
            "otherwise the tokenizer belongs to another model"
        )


def _listed(names: list[str]) -> str:
    more = f" … ({len(names)} in all)" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
