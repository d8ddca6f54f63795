"""Runs that are kept in a folder, so that an interrupted comparison goes on where it was."""

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

from softcloze.backbone import Backbone, load_backbone
from softcloze.classifiers import PromptClassifier
from softcloze.data import Examples
from softcloze.errors import ParameterError
from softcloze.experiments.baselines import FineTunedClassifier
from softcloze.experiments.confident_errors import as_json, from_json
from softcloze.experiments.protocol import Shots
from softcloze.experiments.results import Run
from softcloze.files import replacing_file
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.template import Template

# other versions may predict otherwise
VERSIONS = [version(name) for name in ("softcloze", "torch", "transformers", "scikit-learn")]


def run_key(classifier: BaseEstimator, train: Examples, texts: Sequence[str], classes: Sequence[str]) -> str:
    """SHA-256 of all that a run follows from: parameters, seed, model, rows, and versions of libraries.

    Raises:
        ParameterError: a parameter that only its place in memory tells from others.
    """
    parts = [identity(classifier), train.texts, train.labels, list(texts), list(classes), VERSIONS]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_run(folder: Path, key: str, method: str, shots: Shots, seed: int) -> Run | None:
    """The run of that key, under the names that it goes by now; None if there is none that can be read."""
    try:
        with safe_open(folder / f"{key}.safetensors", "np") as file:
            costs = json.loads(file.metadata()["run"])
            words = from_json(costs.pop("top_words"))
            kept = Run(**costs, probabilities=file.get_tensor("probabilities"), top_words=words)
            return replace(kept, method=method, shots=shots, seed=seed)
    except (FileNotFoundError, SafetensorError, ValueError, KeyError, TypeError):
        return None  # what is damaged is measured again


def write_run(folder: Path, key: str, run: Run) -> None:
    """Keep a run that did not fail; a reader sees all of it or nothing."""
    costs = asdict(run)
    probabilities = costs.pop("probabilities")
    costs["top_words"] = as_json(run.top_words)
    with replacing_file(folder / f"{key}.safetensors") as draft:
        save_file({"probabilities": probabilities}, draft, metadata={"run": json.dumps(costs)})


Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
WITHOUT_EFFECT = ("on_epoch", "checkpoint", "verbose", "n_jobs", "memory")  # on what is predicted
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def identity(value: object) -> Plain:
    """Plain data that is the same in another process, and differs where two methods would predict differently.

    Backbones go by their fingerprints and precision, estimators by their parameters.

    Raises:
        ParameterError: something that only its place in memory tells from others, such as a lambda.

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
        case Mapping():
            return {str(key): identity(item) for key, item in value.items()}
        case list() | tuple():
            return [identity(item) for item in value]
        case BaseEstimator():
            own = value.get_params(deep=False) | _resolved(value)
            return [_name(type(value)), {key: identity(own[key]) for key in sorted(own) if key not in WITHOUT_EFFECT}]
        case Tensor():
            return identity(value.detach().cpu().float().numpy())
        case type() | FunctionType() if "<" not in value.__qualname__:  # which a lambda has, and what is local
            return _name(value)
        case _ if is_dataclass(value):
            own = {field.name: getattr(value, field.name) for field in fields(value)}
            return [_name(type(value)), identity(own)]
        case _ if not _ADDRESS.search(repr(value)):
            return repr(value)
    raise ParameterError(
        f"what {value!r} does cannot be told in another process, so its results cannot be kept in a folder; give a "
        "function that a module defines, or an object whose repr says what it does"
    )


def _resolved(estimator: BaseEstimator) -> dict[str, object]:
    """What names stand for: the weights behind a name may change, and the card of a library as well."""
    found: dict[str, object] = {}
    if isinstance(estimator, PromptClassifier):
        found = {
            "template": resolve_template(estimator.template),
            "verbalizer": resolve_verbalizer(estimator.verbalizer),
        }
    backbone = own_backbone(estimator)
    return found if backbone is None else {**found, "model": backbone, "dtype": None, "device": None}


def own_backbone(estimator: BaseEstimator) -> Backbone | None:
    """The backbone that an estimator runs on itself, loaded if it was not."""
    if not isinstance(estimator, PromptClassifier | FineTunedClassifier):
        return None
    return load_backbone(estimator.model, dtype=estimator.dtype, device=estimator.device)


def _name(kind: type | FunctionType) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
