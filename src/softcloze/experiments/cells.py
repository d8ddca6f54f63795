"""Runs that are kept in a folder, so that an interrupted comparison goes on where it was."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import BaseEstimator

from softcloze.atomic import replacing_file
from softcloze.experiments.comparison import Run
from softcloze.experiments.identity import identity
from softcloze.experiments.mistakes import as_json, from_json
from softcloze.experiments.protocol import Shots
from softcloze.starters import Examples

# other versions may predict otherwise
VERSIONS = [version(name) for name in ("softcloze", "torch", "transformers", "scikit-learn")]


def cell_key(classifier: BaseEstimator, train: Examples, texts: Sequence[str], classes: Sequence[str]) -> str:
    """SHA-256 of all that a run follows from: parameters, seed, model, rows, and versions of libraries.

    Raises:
        ExperimentError: a parameter that only its place in memory tells from others.
    """
    parts = [identity(classifier), train.texts, train.labels, list(texts), list(classes), VERSIONS]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_cell(folder: Path, key: str, method: str, shots: Shots, seed: int) -> Run | None:
    """The run of that key, under the names that it goes by now; None if there is none that can be read."""
    try:
        with safe_open(folder / f"{key}.safetensors", "np") as file:
            costs = json.loads(file.metadata()["run"])
            words = from_json(costs.pop("top_words"))
            kept = Run(**costs, probabilities=file.get_tensor("probabilities"), top_words=words)
            return replace(kept, method=method, shots=shots, seed=seed)
    except (FileNotFoundError, SafetensorError, ValueError, KeyError, TypeError):
        return None  # what is damaged is measured again


def write_cell(folder: Path, key: str, run: Run) -> None:
    """Keep a run that did not fail; a reader sees all of it or nothing."""
    costs = asdict(run)
    probabilities = costs.pop("probabilities")
    costs["top_words"] = as_json(run.top_words)
    with replacing_file(folder / f"{key}.safetensors") as draft:
        save_file({"probabilities": probabilities}, draft, metadata={"run": json.dumps(costs)})
