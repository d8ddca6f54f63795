"""LangGraph: nodes that classify, and the choice of the next node by a label.

These are plain functions of a state, which import nothing of LangGraph; `pip install 'softcloze[langgraph]'` brings it.
A state is a mapping, a dataclass or a model of pydantic.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from numbers import Real
from typing import Any, Literal, TypeAlias, cast

from sklearn.utils.validation import check_is_fitted

from softcloze.classifiers import Prediction
from softcloze.data import as_labels
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import did_you_mean, quoted, quoted_list
from softcloze.integrations.examples import CLASSIFIER, Classifier, predict_each
from softcloze.parameters import FRACTION, FUNCTION, NONE, TEXT, Constraint, instance_of, validate_parameters
from softcloze.verbalizer import FieldVerbalizer, Label

Key: TypeAlias = str | Callable[[Any], Any]
"""The name of a value of the state, or a function that takes the state and returns a value."""

_ROUNDING = 1e-6  # by which a probability may exceed 1

_KEY = TEXT | FUNCTION
_LABELS = Constraint("a list of labels", lambda value: isinstance(value, Iterable) and not isinstance(value, str))
_ROUTES = instance_of("a mapping from labels to names of nodes", Mapping) | NONE


def classify(
    classifier: Classifier, key: Key = "text", *, into: str = "label", probability: str | None = "probability"
) -> Callable[[Any], dict[str, Any]]:
    """A node that writes the label of a value of the state, and its probability, into the state.

    Both are plain Python values, which every checkpointer holds. `label_router` chooses the next node by them.

    Args:
        classifier: ready to predict.
        key: name of the value to classify, or a function of the state: a text, a mapping of fields, a message or a
            list of messages, of which the last one of a human counts.
        into: name of the label in the state.
        probability: name of the probability of that label in the state; None to leave it out.

    Returns:
        A function for `add_node`. It raises DataError for a value that cannot be scored.

    Raises:
        ParameterError: another kind of classifier, or a parameter has a wrong value.
        NotFittedError: something has to be learnt first.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", {"pos": "good", "neg": "bad"})
        >>> node = classify(clf)
        >>> sorted(node({"text": "A delight.", "customer": 7}))
        ['label', 'probability']
    """
    values = {"classifier": classifier, "key": key, "into": into, "probability": probability}
    validate_parameters(values, {"classifier": CLASSIFIER, "key": _KEY, "into": TEXT, "probability": TEXT | NONE})
    check_is_fitted(classifier)

    def classify(state: Any) -> dict[str, Any]:  # noqa: ANN401
        label, share = _predict(classifier, _value(state, key))
        return {into: label, probability: share} if probability is not None else {into: label}

    return classify


def router(
    classifier: Classifier,
    key: Key = "text",
    routes: Mapping[Label, str] | None = None,
    *,
    threshold: float | None = None,
    otherwise: str | None = None,
) -> Callable[[Any], str]:
    """The choice of the next node by the label of a value of the state, for `add_conditional_edges`.

    Args:
        classifier: ready to predict.
        key: as for `classify`.
        routes: name of the node for each label; None if nodes have the names of the labels.
        threshold: probability of the label below which the next node is `otherwise`; None for no such node.
        otherwise: name of that node.

    Returns:
        A function of the state. Its annotation names all nodes that it may return, so that LangGraph draws and checks
        these edges without `path_map`. It raises DataError for a value that cannot be scored.

    Raises:
        ParameterError: a label without a route, a route of no label, or a parameter has a wrong value.
        NotFittedError: something has to be learnt first.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", {"pos": "good", "neg": "bad"})
        >>> route = router(clf, routes={"pos": "thank", "neg": "apologise"}, threshold=0.99, otherwise="ask")
        >>> route({"text": "A delight."})
        'ask'
    """
    validate_parameters({"classifier": classifier, "key": key}, {"classifier": CLASSIFIER, "key": _KEY})
    check_is_fitted(classifier)
    nodes = _nodes(_labels(classifier), routes, threshold, otherwise)

    def route(state: Any) -> str:  # noqa: ANN401
        return _choose(nodes, *_predict(classifier, _value(state, key)), threshold, otherwise)

    return _annotated(route, "router", nodes, otherwise)


def label_router(
    labels: Iterable[Label],
    key: Key = "label",
    routes: Mapping[Label, str] | None = None,
    *,
    probability: Key = "probability",
    threshold: float | None = None,
    otherwise: str | None = None,
) -> Callable[[Any], str]:
    """The choice of the next node by a label that is in the state already, as `classify` writes it.

    Args:
        labels: all labels, as in `clf.classes_`.
        key: name of the label in the state, or a function of the state.
        routes: as for `router`.
        probability: name of the probability in the state, or a function of the state; used with `threshold` alone.
        threshold: as for `router`.
        otherwise: as for `router`.

    Returns:
        A function of the state, as `router` returns it. It raises DataError for a label that is not one of `labels`,
        and for a probability that is no number from 0 to 1.

    Raises:
        ParameterError: as `router`.

    Example:
        >>> route = label_router(["bill", "fault"], routes={"bill": "accounts", "fault": "engineers"})
        >>> route({"label": "fault"})
        'engineers'
    """
    validate_parameters(
        {"labels": labels, "key": key, "probability": probability},
        {"labels": _LABELS, "key": _KEY, "probability": _KEY},
    )
    nodes = _nodes(as_labels(labels), routes, threshold, otherwise)

    def route(state: Any) -> str:  # noqa: ANN401
        label = _value(state, key)
        if not isinstance(label, Hashable) or label not in nodes:
            raise DataError(f"the state has the label {quoted(label)}; expected one of {quoted_list(nodes)}")
        share = _value(state, probability) if threshold is not None else 1.0
        if not isinstance(share, Real) or not 0 <= float(share) <= 1 + _ROUNDING:
            raise DataError(
                f"the state has the probability {quoted(share)}; expected a number from 0 to 1, as classify writes it"
            )
        return _choose(nodes, label, float(share), threshold, otherwise)

    return _annotated(route, "label_router", nodes, otherwise)


def _labels(classifier: Classifier) -> list[Label]:
    verbalizer = getattr(classifier, "verbalizer", None)
    if isinstance(verbalizer, FieldVerbalizer) and verbalizer.answers == "word":
        raise ParameterError(
            "the labels differ from example to example, which no routes can name; take "
            f'FieldVerbalizer({verbalizer.field!r}, {verbalizer.most}, answers="index")'
        )
    labels: list[Label] = classifier.classes_.tolist()
    return labels


def _nodes(
    labels: list[Label], routes: Mapping[Label, str] | None, threshold: float | None, otherwise: str | None
) -> dict[Label, str]:
    """The name of the node of each label, after a check of all parameters of a router."""
    validate_parameters(
        {"routes": routes, "threshold": threshold, "otherwise": otherwise},
        {"routes": _ROUTES, "threshold": FRACTION | NONE, "otherwise": TEXT | NONE},
    )
    if (threshold is None) != (otherwise is None):
        given, missing = ("threshold", "otherwise") if otherwise is None else ("otherwise", "threshold")
        raise ParameterError(f"{given} is given without {missing}; below the threshold the next node is otherwise")
    nodes: dict[Label, Any] = {label: label for label in labels} if routes is None else {**routes}
    if missing_routes := [label for label in labels if label not in nodes]:
        raise ParameterError(f"routes has no node for the labels {quoted_list(missing_routes)}")
    for label, node in nodes.items():
        if label not in labels:
            hint = did_you_mean(label, labels) if isinstance(label, str) else ""
            raise ParameterError(
                f"routes has a node for {quoted(label)}, and the labels are {quoted_list(labels)}{hint}"
            )
        if not isinstance(node, str):
            raise ParameterError(
                f"the node of the label {quoted(label)} is {quoted(node)}; expected its name, as in "
                f"routes={{{quoted(label)}: 'node', ...}}"
            )
    return {label: str(node) for label, node in nodes.items()}


def _predict(classifier: Classifier, value: Any) -> tuple[Label, float]:  # noqa: ANN401
    (row,) = predict_each(classifier, [value])
    if not isinstance(row, Prediction):
        raise row
    return cast(Label, row.label), max(cast(tuple[float, ...], row.probabilities))


def _value(state: Any, key: Key) -> Any:  # noqa: ANN401
    if callable(key):
        return key(state)
    if isinstance(state, Mapping) and key in state:
        return state[key]
    if not isinstance(state, Mapping) and hasattr(state, key):
        return getattr(state, key)
    found = f": it has {quoted_list(state)}" if isinstance(state, Mapping) else ""
    raise DataError(f"the state has no value {key!r}{found}")


def _choose(
    nodes: Mapping[Label, str], label: Label, probability: float, threshold: float | None, otherwise: str | None
) -> str:
    if threshold is not None and otherwise is not None and probability < threshold:
        return otherwise
    return nodes[label]


def _annotated(
    route: Callable[[Any], str], name: str, nodes: Mapping[Label, str], otherwise: str | None
) -> Callable[[Any], str]:
    """The function with a name, and an annotation of the nodes that it returns, as LangGraph reads them."""
    ends = dict.fromkeys([*nodes.values(), *([otherwise] if otherwise is not None else [])])
    route.__name__ = name
    route.__annotations__["return"] = Literal[*ends]
    return route
