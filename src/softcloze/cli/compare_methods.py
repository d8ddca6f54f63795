"""Methods for `softcloze compare`: prompts and baselines from its options and from a TOML file."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from softcloze.classifiers import PromptClassifier
from softcloze.cli.options import parse, read_text, read_verbalizer
from softcloze.data import Examples
from softcloze.errors import FileError, SoftclozeError
from softcloze.experiments import (
    FineTunedClassifier,
    Method,
    SentenceEmbeddingClassifier,
    SetFitClassifier,
    prompt_variants,
    tfidf,
)
from softcloze.experiments.baselines import Trained
from softcloze.formatting import did_you_mean
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.training import TrainingSettings
from softcloze.verbalizer import Verbalizer

NOT_IN_FILES = ("on_epoch", "on_step", "checkpoint", "random_state")  # random_state is the seed of each run
HAN = ("\u3400", "\u9fff")  # range of common Chinese characters
TRAINED: dict[str, Trained] = {"head": "head", "fine-tuning": "all", "lora": "lora"}
FACTORIES: dict[str, Callable[..., BaseEstimator]] = {
    "tf-idf": tfidf,
    "embeddings": SentenceEmbeddingClassifier,
    "setfit": SetFitClassifier,
}
DESCRIPTIONS: dict[str, str] = {
    "tf-idf": "logistic regression on words, or on characters of Chinese",
    "embeddings": "logistic regression on sentence embeddings",
    "setfit": "a sentence encoder trained on pairs of examples",
    "head": "a new classification head on the frozen model",
    "fine-tuning": "a new classification head, all weights trained",
    "lora": "a new classification head and low-rank adapters",
}


@dataclass(frozen=True, slots=True)
class MethodBuilder:
    """Builds methods.

    Attributes:
        model: of all methods.
        verbalizer: label words as given in the option; None for those recommended by a template of the library, or
            else each label as its own word.
        train: training examples, which determine the labels and the language.
    """

    model: str
    verbalizer: str | None
    train: Examples

    def prompt(self, template: str, name: str | None = None, **settings: Any) -> Method:  # noqa: ANN401
        """A prompt, named after its template by default."""
        defaults = {"model": self.model, "verbalizer": self._words(template)}
        classifier = PromptClassifier(template=template, **{**defaults, **settings})
        kind = "soft prompt" if resolve_mask_template(template).blocks else "hard prompt"
        return Method(name if name is not None else template, classifier, kind)

    def variants(self, named: str, calibration: str | None) -> tuple[Method, ...]:
        """The hard prompts of the library for a task in a language, given as TASK/LANGUAGE.

        Raises:
            ParameterError: the library has none.
        """
        task, _, language = named.partition("/")
        words = None if self.verbalizer is None else read_verbalizer(self.verbalizer, named)
        return prompt_variants(self.model, task, language, words, calibration=calibration)

    def baseline(self, kind: str, name: str | None = None, **settings: Any) -> Method:  # noqa: ANN401
        """A baseline, named after its kind by default."""
        return Method(name if name is not None else kind, self._baseline(kind, settings), DESCRIPTIONS[kind])

    def read(self, file: Path) -> list[Method]:
        """Read methods from a TOML file: one table for each, named after it, with `template = …` or `baseline = …`.

        The other keys of a table are parameters of `PromptClassifier` or of the baseline; `training` is a table of
        its own.

        Raises:
            FileError: the file cannot be read, is not TOML, or has unknown keys or wrong values; names the table.
        """
        methods = []
        for name, where, table in read_tables(file):
            with explain_table(where):
                methods.append(self._from_table(where, name, table))
        return methods

    def _from_table(self, where: str, name: str, table: object) -> Method:
        match table:
            case {"template": str(template), **settings}:
                parameters = trained_parameters(where, settings, PromptClassifier)
                if "verbalizer" in parameters:
                    parameters["verbalizer"] = resolve_verbalizer(parameters["verbalizer"])
                return self.prompt(template, name, **parameters)
            case {"baseline": str(kind), **settings} if kind in DESCRIPTIONS:
                factory = FACTORIES.get(kind, FineTunedClassifier)
                return self.baseline(kind, name, **_parameters(where, settings, factory))
        kinds = ", ".join(map(repr, DESCRIPTIONS))
        raise FileError(f'{where}: expected template = "…", or baseline = one of {kinds}')

    def _baseline(self, kind: str, settings: Mapping[str, Any]) -> BaseEstimator:
        if kind == "tf-idf":
            return tfidf(**{"analyzer": analyzer_for(self.train.texts), **settings})
        if kind in FACTORIES:
            return FACTORIES[kind](**settings)
        return FineTunedClassifier(**{"model": self.model, "trained": TRAINED[kind], **settings})

    def _words(self, template: str) -> Verbalizer | str:
        words = read_verbalizer(self.verbalizer, template)
        return words if words is not None else Verbalizer({label: str(label) for label in set(self.train.labels)})


def analyzer_for(texts: Iterable[str]) -> str:
    """The analyzer for `tfidf`: "char" if a third or more of the characters are Chinese, else "word".

    >>> analyzer_for(["a fine film", "好"]), analyzer_for(["很好, fine", "太差了"])
    ('word', 'char')
    """
    letters = "".join("".join(text.split()) for text in texts)
    return "char" if 3 * sum(HAN[0] <= char <= HAN[1] for char in letters) >= len(letters) else "word"


def read_tables(file: Path) -> list[tuple[str, str, object]]:
    """The tables of a TOML file: name, place for messages, and content.

    Raises:
        FileError: the file cannot be read or is not TOML.
    """
    tables = parse(read_text(file), ".toml", str(file), FileError)
    return [(name, f"{file}, [{name}]", table) for name, table in tables.items()]


@contextmanager
def explain_table(where: str) -> Iterator[None]:
    """Turn errors of the library into a FileError that names the table."""
    try:
        yield
    except FileError:
        raise
    except SoftclozeError as error:
        raise FileError(f"{where}: {error}") from error


def trained_parameters(where: str, settings: Mapping[Any, Any], factory: Any) -> dict[str, Any]:  # noqa: ANN401
    """Parameters of a trained estimator from a table, with those of `training`; raise FileError if it has others."""
    parameters = _parameters(where, settings, factory)
    if isinstance(training := parameters.get("training"), dict):
        parameters["training"] = TrainingSettings(**_parameters(f"{where}, training", training, TrainingSettings))
    return parameters


def _parameters(where: str, settings: Mapping[Any, Any], factory: Any) -> dict[str, Any]:  # noqa: ANN401
    """Parameters of `factory` from a table; raise FileError if it has others."""
    known = [name for name in inspect.signature(factory).parameters if name not in NOT_IN_FILES]
    for name in settings:
        if name not in known:
            raise FileError(f"{where} has {name!r}, which {factory.__name__} does not take{did_you_mean(name, known)}")
    return dict(settings)
