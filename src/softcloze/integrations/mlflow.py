"""MLflow: save, log and load classifiers as MLflow models, without pickle. Needs softcloze[mlflow]."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from softcloze.classifiers import (
    MultiLabelPromptClassifier,
    ProbeClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
)
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import quoted, quoted_list
from softcloze.heads import EXCLUSIVE
from softcloze.prompt.saved import SavedCards
from softcloze.verbalizer import FieldVerbalizer

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

_METHODS = ("predict", "predict_proba")
_TYPES = {bool: "boolean", int: "long", str: "string"}  # names of types of MLflow


def save_model(clf: Any, path: "str | os.PathLike[str]", **options: Any) -> None:  # noqa: ANN401
    """Save a classifier as an MLflow model in a folder.

    The folder has the files that `save` of the classifier writes, by which the model is named and not held. Training
    examples are only in it where they are the prompt's demonstrations.

    Args:
        clf: a fitted classifier or generator of softcloze, or the folder of a saved one.
        path: a new folder.
        **options: of `mlflow.pyfunc.save_model`, as `input_example`. By default the signature is that of the template's
            fields and the labels, and the requirement is this version of softcloze.

    Raises:
        ParameterError: `clf` is neither.
        ModuleNotFoundError: MLflow is not installed.
    """
    mlflow = _import_mlflow("save_model")
    with _model_of(clf, options) as arguments:
        mlflow.pyfunc.save_model(os.fspath(path), **arguments)


def log_model(clf: Any, name: str | None = None, **options: Any) -> "ModelInfo":  # noqa: ANN401
    """Log a classifier as an MLflow model, in the current run if there is one.

    Args:
        clf: as of `save_model`.
        name: of the model.
        **options: of `mlflow.pyfunc.log_model`, as `registered_model_name`; defaults are those of `save_model`.

    Raises:
        ParameterError: `clf` is neither a classifier nor a folder.
        ModuleNotFoundError: MLflow is not installed.
    """
    mlflow = _import_mlflow("log_model")
    with _model_of(clf, options) as arguments:
        info: ModelInfo = mlflow.pyfunc.log_model(name=name, **arguments)
        return info


def load_model(model_uri: str, model: str | None = None, encoder: str | None = None) -> Any:  # noqa: ANN401
    """Load the classifier of an MLflow model that `save_model` or `log_model` wrote.

    `mlflow.pyfunc.load_model` gives a function of frames and lists instead; its `model_config` has the other arguments.

    Args:
        model_uri: as "models:/reviews/1" or a folder.
        model: name or folder of the model here; None for the one that the classifier names.
        encoder: name or folder of the sentence encoder of probes here; None for the one that each names.

    Returns:
        A fitted `PromptClassifier`, `MultiLabelPromptClassifier`, `PromptEnsemble`, `ProbeClassifier` or
        `PromptGenerator`.

    Raises:
        ArtifactError: files are damaged, or the model is not the one that the classifier was made for; names both.
        BackboneError: the model cannot be loaded.
        ModuleNotFoundError: MLflow is not installed.
    """
    mlflow = _import_mlflow("load_model")
    given = {name: value for name, value in (("model", model), ("encoder", encoder)) if value is not None}
    return mlflow.pyfunc.load_model(model_uri, model_config=given or None).get_raw_model()


def _load_pyfunc(path: str, model_config: Mapping[str, str | None] | None = None) -> "_PythonFunction":
    """Load what MLflow calls; MLflow finds this function by its name."""
    cards, config = SavedCards.read(path), model_config or {}
    model, encoder = config.get("model"), config.get("encoder")
    clf: Any
    match cards.kind:
        case "ensemble":
            clf = PromptEnsemble.load(path, model, encoder=encoder)
        case "probe":
            clf = ProbeClassifier.load(path, encoder)
        case "generator":
            clf = PromptGenerator.load(path, model)
        case _:
            kind = PromptClassifier if _gives_one_label(cards) else MultiLabelPromptClassifier
            clf = kind.load(path, model)
    return _PythonFunction(clf, cards)


class _PythonFunction:
    """A classifier behind the interface of MLflow's `python_function`."""

    def __init__(self, clf: Any, cards: SavedCards):  # noqa: ANN401
        self._clf, self._fields = clf, _fields_of(cards)
        self._several = cards.kind != "generator" and not _gives_one_label(cards)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        """The labels, shape (batch,), or a frame with a column for each label.

        Args:
            model_input: a frame with the fields as columns, or a list of texts or mappings.
            params: `predict_method` is "predict" or "predict_proba".

        Raises:
            ParameterError: there is no such method.
            SoftclozeError: an example cannot be scored; names the row.
        """
        method = (params or {}).get("predict_method", "predict")
        if method not in _METHODS or not hasattr(self._clf, method):
            known = [name for name in _METHODS if hasattr(self._clf, name)]
            raise ParameterError(f"predict_method={method!r}; a {type(self._clf).__name__} has {quoted_list(known)}")
        self._validate_column(model_input)
        result = getattr(self._clf, method)(model_input)
        return result if method == "predict" and not self._several else self._by_label(result, model_input)

    def get_raw_model(self) -> Any:  # noqa: ANN401
        """The classifier."""
        return self._clf

    def _by_label(self, values: Any, model_input: Any) -> "pd.DataFrame":  # noqa: ANN401
        """A frame with a column for each label, and the index of the input."""
        from pandas import DataFrame

        return DataFrame(values, getattr(model_input, "index", None), self._clf.classes_.tolist())

    def _validate_column(self, model_input: Any) -> None:  # noqa: ANN401
        """Raise DataError for a column that is not the field: of a frame, the signature leaves the first one."""
        columns = getattr(model_input, "columns", None)
        if columns is None or len(columns) != 1 or len(self._fields) != 1:
            return
        (column,), (field,) = columns, self._fields
        if column not in (field, "text") and not str(column).isdigit():  # MLflow counts columns without names
            raise DataError(
                f"the first column is {column!r}, and the prompt reads the field {field!r}; pass that column alone, as "
                f"in model.predict(frame[[{field!r}]])"
            )


@contextmanager
def _model_of(clf: Any, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """The arguments of MLflow's `save_model` and `log_model`, while the files exist that they name."""
    if isinstance(clf, str | os.PathLike):
        saved: Any = SavedCards.read(clf).load()
    elif hasattr(clf, "save"):
        saved = clf
    else:
        raise ParameterError(
            f"clf={quoted(clf, 60)} is neither a classifier of softcloze nor the folder of a saved one; "
            "mlflow.sklearn.log_model takes pipelines and meta-estimators"
        )
    with TemporaryDirectory() as parent:
        folder = Path(parent) / "prompt"
        saved.save(folder)
        arguments = {"signature": _signature(SavedCards.read(folder)), **options}
        arguments["model_config"] = {"model": None, "encoder": None, **options.get("model_config", {})}
        if not {"pip_requirements", "conda_env"} & options.keys():
            more = arguments.pop("extra_pip_requirements", None) or []
            more = [f"-r {more}"] if isinstance(more, str) else more
            arguments["pip_requirements"] = [f"softcloze=={version('softcloze')}", *more]
        yield {"loader_module": __name__, "data_path": str(folder), **arguments}


def _signature(cards: SavedCards) -> "ModelSignature":
    """The columns that a prompt reads, what `predict` returns, and the choice of a method.

    A single field has no name, so that a list of texts fits as well as a column.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, Array

    fields, choices = _fields_of(cards), _choices_of(cards)
    kinds = {name: Array(DataType.string) if name == choices else DataType.string for name in fields}
    inputs = [ColSpec(kind, name if len(fields) > 1 else None) for name, kind in kinds.items()]
    if cards.kind != "generator" and not _gives_one_label(cards):
        outputs = [ColSpec("long", str(label)) for label in cards.labels]
    else:
        types = {type(label) for label in cards.labels} or {str}
        outputs = [ColSpec(_TYPES[types.pop()] if len(types) == 1 and choices is None else AnyType())]
    params = ParamSchema([ParamSpec("predict_method", "string", "predict")])
    return ModelSignature(Schema(inputs), Schema(outputs), params)


def _fields_of(cards: SavedCards) -> tuple[str, ...]:
    """The fields of an example, that of its choices included."""
    choices = _choices_of(cards)
    return tuple(dict.fromkeys([*cards.fields, *([choices] if choices is not None else [])]))


def _choices_of(cards: SavedCards) -> str | None:
    """The field with the choices of an example; None where all examples have the same labels."""
    verbalizer = getattr(cards.members[0], "verbalizer", None)
    return verbalizer.field if isinstance(verbalizer, FieldVerbalizer) else None


def _gives_one_label(cards: SavedCards) -> bool:
    return all(prompt.entries["head"] in EXCLUSIVE for prompt in cards.prompts)


def _import_mlflow(function: str) -> Any:  # noqa: ANN401 - the package, whose types are not read
    try:
        import mlflow.pyfunc
    except ImportError as error:
        message = f"{function} needs MLflow; install it with pip install 'softcloze[mlflow]'"
        raise ModuleNotFoundError(message, name="mlflow") from error
    return mlflow
