"""LangChain: a classifier or a generator as a runnable of a chain. Needs softcloze[langchain]."""

from typing import TYPE_CHECKING, Any, Literal

from sklearn.utils.validation import check_is_fitted

from softcloze.classifiers import ProbeClassifier, PromptClassifier, PromptEnsemble, PromptGenerator
from softcloze.integrations.examples import CLASSIFIERS, OUTPUT
from softcloze.parameters import NONE, TEXT, instance_of, validate_parameters

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

_CONSTRAINTS = {
    "estimator": instance_of(
        "a PromptClassifier, a ProbeClassifier, a PromptEnsemble or a PromptGenerator (of an AutoPromptClassifier its "
        "best_estimator_)",
        *CLASSIFIERS,
        PromptGenerator,
    ),
    "output": OUTPUT,
    "name": TEXT | NONE,
}


def as_runnable(
    estimator: PromptClassifier | ProbeClassifier | PromptEnsemble | PromptGenerator,
    output: Literal["label", "probabilities"] = "label",
    *,
    name: str | None = None,
) -> "Runnable[Any, Any]":
    """A runnable of LangChain that classifies, or writes, in chains.

    `batch` and `abatch` score all inputs in one batch; `max_concurrency` has no effect on it. With
    `return_exceptions=True` an input that cannot be scored has its error in its place, otherwise the first such error
    is raised. `ainvoke`, `abatch` and `astream` run the model in a thread and leave the event loop free. A runnable of
    a generator streams pieces of its text, and takes options of writing as keyword arguments, so that
    `runnable.bind(max_new_tokens=20)` sets one. Threads may share a runnable: each model runs in one of them at a time.

    Inputs are a text, a mapping of fields, a message, a list of messages or the value of a prompt template. Of several
    messages the last one of a human counts.

    Args:
        estimator: ready to predict or to write.
        output: of a classifier: "label" for the label as text (or an integer, if labels are integers), "probabilities"
            for a dict from each label to its probability. A generator gives text.
        name: of the runnable in traces and drawings; None for that of its class.

    Returns:
        A `RunnableSerializable`, with `output` as a configurable field.

    Raises:
        ParameterError: another kind of estimator, or a parameter has a wrong value.
        NotFittedError: something has to be learnt first.
        ModuleNotFoundError: LangChain is not installed.
    """
    try:
        from softcloze.integrations.langchain_runnables import ClassifierRunnable, GeneratorRunnable
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain_core":
            raise
        message = "as_runnable needs LangChain; install it with pip install 'softcloze[langchain]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    validate_parameters({"estimator": estimator, "output": output, "name": name}, _CONSTRAINTS)
    check_is_fitted(estimator)
    if isinstance(estimator, PromptGenerator):
        return GeneratorRunnable(generator=estimator, name=name)
    return ClassifierRunnable(classifier=estimator, output=output, name=name)
