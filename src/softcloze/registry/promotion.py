"""Conditions for a version to be promoted: the same model, the same labels, and a row that it scores."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from softcloze.errors import ParameterError, SoftclozeError
from softcloze.formatting import quoted, quoted_list
from softcloze.parameters import NONE, instance_of, validate_parameters
from softcloze.prompt.saved import AnySaved, SavedCards, bind_saved
from softcloze.registry.references import LIVE
from softcloze.registry.store import Store
from softcloze.registry.versions import Version

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.data import Example

_NAMES = {"backbone": "backbone", "encoder": "sentence encoder"}


def validate_promotion(
    store: Store, version: Version, cards: SavedCards, alias: str, *, model_changed: bool, labels_changed: bool
) -> None:
    """Compare a version with the live one, or without that with the one that the alias names.

    Raises:
        ParameterError: its model or its labels differ, and the argument does not say that they may.
        ArtifactError: the version with which it is compared is damaged.
    """
    if model_changed and labels_changed:
        return
    current = next((store.resolve(name) for name in (LIVE, alias) if store.read_alias(name) is not None), None)
    if current is None:
        return
    current_cards = SavedCards.read(current.path)
    if not model_changed:
        validate_same_model(version, cards, current, current_cards)
    if not labels_changed:
        validate_same_labels(version, cards, current, current_cards)


def validate_same_model(version: Version, cards: SavedCards, current: Version, current_cards: SavedCards) -> None:
    """Raise ParameterError if two versions belong to different models."""
    new, old = cards.fingerprints(), current_cards.fingerprints()
    for kind, name in _NAMES.items():
        difference = _difference(new.get(kind), old.get(kind))
        if difference is not None:
            raise ParameterError(
                f"{version} has another {name} than {current}: {difference}\n"
                f"  {current}: {_model(current_cards, kind)}\n"
                f"  {version}: {_model(cards, kind)}\n"
                "a service with the model of one cannot score the other; promote it with model_changed=True "
                "(--model-changed) if the service loads its model"
            )


def validate_same_labels(version: Version, cards: SavedCards, current: Version, current_cards: SavedCards) -> None:
    """Raise ParameterError if two versions have different sets of labels; 1, True and "1" are different labels."""
    new, old = ({repr(label) for label in either.labels} for either in (cards, current_cards))
    if new == old:
        return
    changes = [
        f"{verb} {', '.join(sorted(labels))}" for verb, labels in (("adds", new - old), ("lacks", old - new)) if labels
    ]
    raise ParameterError(
        f"{version} has other labels than {current}: it {' and '.join(changes)}; promote it with labels_changed=True "
        "(--labels-changed) if those who read its answers know"
    )


def score_row(
    version: Version, saved: AnySaved, cards: SavedCards, backbone: "Backbone | None", example: "Example | None"
) -> None:
    """Score one example by a version; a generator writes one token.

    Args:
        version: its name, for messages.
        saved: what it loads.
        cards: its cards.
        backbone: the model of its prompts.
        example: the example; None for one with a text in each field.

    Raises:
        ArtifactError: the version belongs to another model, or does not fit its own.
        ParameterError: the example cannot be scored, or the scores are not finite.
    """
    from softcloze.backbone import Backbone
    from softcloze.data import as_examples
    from softcloze.prompt import BoundGenerator, GeneratorPrompt

    kind = instance_of("a Backbone, as of load_backbone", Backbone) | NONE
    validate_parameters({"backbone": backbone}, {"backbone": kind})
    if backbone is None and cards.on_backbones:
        raise ParameterError(f"{version} needs its backbone to score a row; load {quoted(cards.model)} and give it")
    bound = (
        BoundGenerator.from_saved(saved, cast("Backbone", backbone))
        if isinstance(saved, GeneratorPrompt)
        else bind_saved(saved, backbone)
    )
    fields = cards.templates[0].fields
    try:
        (row,) = as_examples([default_example(cards) if example is None else example], fields)
        if isinstance(bound, BoundGenerator):
            bound.write([row], {"max_new_tokens": 1})
        else:
            bound.predict_encoded(bound.encode([row]))
    except SoftclozeError as error:
        advice = f"; give an example with the fields {quoted_list(fields)}" if example is None else ""
        raise ParameterError(f"{version} cannot score a row: {error}{advice}") from error


def default_example(cards: SavedCards) -> dict[str, object]:
    """An example with a text in each field, and two choices where the labels are those of a field."""
    example: dict[str, object] = {name: "A row." for template in cards.templates for name in template.fields}
    for prompt in cards.prompts:
        if field := getattr(prompt.verbalizer, "field", None):
            example[field] = ["one", "two"]
    return example


def _difference(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> str | None:
    """The first part of a fingerprint that differs; None if none does."""
    if new is None or old is None:
        return None if new is old else "one of them has none"
    parts = new.keys() | old.keys()
    if "chat_template" not in new.keys() & old.keys():  # one of them has no turns
        parts -= {"chat_template"}
    differing = sorted(part for part in parts if new.get(part) != old.get(part))
    return f"its {differing[0].replace('_', ' ')} differs" if differing else None


def _model(cards: SavedCards, kind: str) -> str:
    name = cards.model if kind == "backbone" else cards.encoder
    fingerprint = cards.fingerprints().get(kind, {})
    return f"{name}, weights {str(fingerprint.get('model', ''))[:12]}" if name is not None else "none"
