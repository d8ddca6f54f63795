"""Cache of finished runs in a folder, from which an interrupted comparison resumes."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import TypeAlias

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import BaseEstimator
from torch import Tensor

from softcloze.analysis import TopWord
from softcloze.automatic import AutoPromptClassifier
from softcloze.backbone import Backbone, load_backbone, validate_model_options
from softcloze.classifiers import ProbeClassifier, PromptClassifier, PromptGenerator
from softcloze.data import Examples
from softcloze.embeddings import SentenceEncoder, load_encoder
from softcloze.errors import ParameterError
from softcloze.experiments.baselines import FineTunedClassifier
from softcloze.experiments.results import Run, RunId
from softcloze.experiments.sentence_baselines import SentenceEmbeddingClassifier
from softcloze.files import replacing_file
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.template import Template
from softcloze.verbalizer import Label

# part of the key: other versions may predict differently
VERSIONS = [version(name) for name in ("softcloze", "torch", "transformers", "scikit-learn")]


def run_key(classifier: BaseEstimator, train: Examples, texts: Sequence[str], classes: Sequence[Label]) -> str:
    """SHA-256 of everything that determines a run: parameters, seed, model, examples, and versions of libraries.

    Raises:
        ParameterError: a parameter has no identity besides its address in memory.
    """
    parts = [identity(classifier), train.texts, train.labels, list(texts), list(classes), VERSIONS]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_run(folder: Path, key: str, run_id: RunId) -> Run | None:
    """The run cached under `key`, with the current name of its method; None if it is missing or damaged."""
    try:
        with safe_open(folder / f"{key}.safetensors", "np") as file:
            costs = json.loads(file.metadata()["run"])
            words = {
                int(row): tuple(TopWord(**word) for word in words) for row, words in costs.pop("top_words").items()
            }
            run = Run(**costs, probabilities=file.get_tensor("probabilities"), top_words=words)
            return replace(run, **run_id._asdict())
    except (FileNotFoundError, SafetensorError, ValueError, KeyError, TypeError):
        return None


def write_run(folder: Path, key: str, run: Run) -> None:
    """Write a finished run atomically."""
    costs = asdict(run)
    probabilities = costs.pop("probabilities")
    with replacing_file(folder / f"{key}.safetensors") as draft:
        save_file({"probabilities": probabilities}, draft, metadata={"run": json.dumps(costs)})


Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
WITHOUT_EFFECT = ("on_epoch", "on_step", "on_trial", "checkpoint", "verbose", "n_jobs", "memory")  # on predictions
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def identity(value: object) -> Plain:
    """Plain data that is equal in every process, and differs if two methods would predict differently.

    Backbones and encoders are identified by fingerprint and precision, estimators by their parameters.

    Raises:
        ParameterError: the value has no identity besides its address in memory, such as a lambda.

    >>> from sklearn.linear_model import Ridge
    >>> identity([Ridge(alpha=2.0), {"a": ("b", None)}])[1]
    {'a': ['b', None]}
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return str(value)
        case np.ndarray():
            return [str(value.dtype), list(value.shape), sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
        case Path() | Template():
            return str(value)
        case Backbone():
            return {"fingerprint": dict(value.fingerprint), "dtype": str(value.model.dtype)}
        case SentenceEncoder():
            return {**value.fingerprint}
        case Mapping():
            return {str(key): identity(item) for key, item in value.items()}
        case list() | tuple():
            return [identity(item) for item in value]
        case set() | frozenset():  # their order differs between processes
            return [*sorted(json.dumps(identity(item), sort_keys=True) for item in value)]
        case BaseEstimator():
            settings = value.get_params(deep=False) | _resolved(value)
            effective = {key: identity(settings[key]) for key in sorted(settings) if key not in WITHOUT_EFFECT}
            return [_name(type(value)), effective]
        case Tensor():
            return identity(value.detach().cpu().float().numpy())
        case type() | FunctionType() if "<" not in value.__qualname__:  # no lambdas or local functions
            return _name(value)
        case _ if is_dataclass(value):
            return [_name(type(value)), {field.name: identity(getattr(value, field.name)) for field in fields(value)}]
        case _ if not _ADDRESS.search(repr(value)):
            return repr(value)
    raise ParameterError(
        f"{value!r} cannot be identified in another process, so its results cannot be kept in a folder; use a "
        "function defined in a module, or an object whose repr describes what it does"
    )


def _resolved(estimator: BaseEstimator) -> dict[str, object]:
    """The objects that names refer to: the weights or the library card of a name may change."""
    resolved: dict[str, object] = {}
    if isinstance(estimator, PromptClassifier | PromptGenerator):
        resolved = {
            "template": resolve_template(estimator.template),
            "training": estimator._settings(),
            "model_options": None,
        }
    if isinstance(estimator, PromptClassifier):
        resolved["verbalizer"] = resolve_verbalizer(estimator.verbalizer)
    if isinstance(estimator, SentenceEmbeddingClassifier):
        return {"encoder": estimator._load_encoder(), "max_length": None}
    if isinstance(estimator, ProbeClassifier | AutoPromptClassifier) and estimator.encoder is not None:
        resolved = {"encoder": load_encoder(estimator.encoder)}
    backbone = own_backbone(estimator)
    return resolved if backbone is None else {**resolved, "model": backbone, "dtype": None, "device": None}


def own_backbone(estimator: BaseEstimator) -> Backbone | None:
    """The backbone of an estimator, loaded if necessary; None if it has none."""
    match estimator:
        case PromptClassifier() | PromptGenerator():
            return estimator._load_backbone()
        case AutoPromptClassifier():
            return load_backbone(estimator.model, **validate_model_options(estimator.model, estimator.model_options))
        case FineTunedClassifier():
            return load_backbone(estimator.model, dtype=estimator.dtype, device=estimator.device)
    return None


def _name(kind: type | FunctionType) -> Plain:
    """The name of a class or function, and the hash of its source: that of a user may change between comparisons."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    try:
        return [name, sha256(inspect.getsource(kind).encode("utf-8", "replace")).hexdigest()]
    except (OSError, TypeError):  # no source, as for C code
        return name
