"""The state of an estimator for pickle, joblib and skops: plain data, with its model by name.

Text, numbers and bytes are all that skops takes without trust in further types. Values of parameters that have no such
form stay as they are: pickle takes them, and skops names their types.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from os import PathLike
from typing import Any, NamedTuple

from softcloze import verbalizer as verbalizers
from softcloze.backbone import Backbone, describe, load_backbone, load_described
from softcloze.backbone.engine import Cached
from softcloze.encoding import Truncation
from softcloze.template import Template
from softcloze.training import TrainingSettings


class Form(NamedTuple):
    """Conversions of the values of one type to plain data and back."""

    type: type
    to_data: Callable[[Any], Any]
    from_data: Callable[[Any], Any]


FORMS: Mapping[str, Form] = {
    "backbone": Form(Backbone, describe, load_described),
    "template": Form(Template, str, Template),
    "training": Form(
        TrainingSettings,
        lambda settings: {option.name: getattr(settings, option.name) for option in fields(settings)},
        lambda options: TrainingSettings(**options),
    ),
    "truncation": Form(Truncation, asdict, lambda counts: Truncation(**counts)),
    "cached": Form(Cached, asdict, lambda sizes: Cached(**sizes)),
    **{
        f"verbalizer {kind}": Form(of_kind, lambda value: value.to_dict(), of_kind.from_dict)
        for kind, of_kind in verbalizers.VERBALIZERS.items()
    },
}


def to_state(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as plain data, and the form of each that is not plain by itself.

    >>> to_state({"epochs": 3, "template": Template("<text> It was <mask>.")})
    {'values': {'epochs': 3, 'template': '<text> It was <mask>.'}, 'forms': {'template': 'template'}}
    """
    # the exact class, as a subclass may have more to save
    forms = {name: form for name, value in values.items() for form, (kind, *_) in FORMS.items() if type(value) is kind}
    plain = {name: FORMS[forms[name]].to_data(value) if name in forms else value for name, value in values.items()}
    return {"values": plain, "forms": forms}


def from_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of `to_state`."""
    forms = state["forms"]
    return {
        name: FORMS[forms[name]].from_data(value) if name in forms else value for name, value in state["values"].items()
    }


def by_name(model: Any) -> Any:  # noqa: ANN401
    """A model parameter that a state can hold: a name or path, or a backbone, which goes by its name."""
    return model if isinstance(model, str | PathLike) else load_backbone(model)
