"""README.md of a saved prompt on a hub: its template, label words, training, metrics, limits, and how to load it."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from softcloze.backbone.location import is_hub_name
from softcloze.formatting import counted, one_line, replace_surrogates
from softcloze.prompt.card import PromptCard
from softcloze.prompt.generator_card import GeneratorCard
from softcloze.prompt.probe_card import ProbeCard
from softcloze.prompt.saved import SavedCards
from softcloze.starters import STARTER
from softcloze.template import Template
from softcloze.template.describe import NAMES, describe

# what may be markup or begin a link; a backslash in front makes it plain text
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#+!|&~@^$)-]|:(?! )|(?<!\d)\.|\.(?!\d)")
_SETTINGS = ("batch_size", "learning_rate", "class_weight", "soft_init", "strength", "seed")
_CLASSES = {"probe": "ProbeClassifier", "ensemble": "PromptEnsemble", "generator": "PromptGenerator"}
Card = PromptCard | ProbeCard | GeneratorCard


def model_card(
    cards: SavedCards,
    location: str,
    *,
    metrics: Mapping[str, float],
    language: Sequence[str] = (),
    license: str | None = None,
) -> str:
    """Write the README.

    All names, labels, words and templates in it are text: none becomes a tag, a link, a heading or metadata.

    Args:
        cards: of the saved prompt.
        location: on the hub, as in "hf://user/name@v1".
        metrics: measured values by name, beside those of the saved prompt.
        language: codes of languages for the metadata.
        license: code of a licence for the metadata; None for none.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        base_model=[name for name in dict.fromkeys(map(_model_of, cards.members)) if is_hub_name(name)] or None,
        language=[*language] or None,
        library_name="softcloze",
        license=license,
        pipeline_tag="text-generation" if cards.kind == "generator" else "text-classification",
        tags=["softcloze", f"softcloze-{cards.kind}"],
    )
    name = location.removeprefix("hf://").partition("@")[0].rpartition("/")[2]
    lines = ["---", data.to_yaml().rstrip(), "---", "", f"# {plain(name)}", "", _opening(cards), ""]
    lines += ["## Load it", "", *_loading_lines(cards, location), ""]
    for number, member in enumerate(cards.members, start=1):
        heading = "##"
        if cards.is_ensemble:
            kind = "probe" if isinstance(member, ProbeCard) else "prompt"
            lines += [f"## Member {number} of {len(cards.members)}: a {kind}", ""]
            heading = "###"
        lines += _member_lines(member, heading)
    lines += _metric_lines({**_saved_metrics(cards), **metrics})
    lines += ["## Limits", "", *_limits(cards), ""]
    return replace_surrogates("\n".join(lines))


def example_count(cards: SavedCards) -> int:
    """Number of training rows that the cards hold: demonstrations, or the pool that they are selected from."""
    return sum(len(demonstrations["examples"]) for demonstrations in _demonstrations(cards))


def plain(value: object) -> str:
    r"""A value as text in Markdown, on one line: no character of it is markup.

    >>> print(plain("<b>*bad*</b>\n| x"))
    \<b\>\*bad\*\</b\>↵\| x
    """
    return _MARKUP.sub(r"\\\g<0>", one_line(value))


def fenced(text: str, language: str = "") -> list[str]:
    """Lines of a block of code, which no text can end.

    >>> fenced("a```b")
    ['````', 'a```b', '````']
    """
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [f"{fence}{language}", text, fence]


def _opening(cards: SavedCards) -> str:
    verb = "writes texts" if cards.kind == "generator" else f"gives texts one of {len(cards.labels)} labels"
    if cards.kind == "prompt" and _class_of(cards) == "MultiLabelPromptClassifier":
        verb = f"gives texts any of {len(cards.labels)} labels"
    models = " and ".join(plain(name) for name in dict.fromkeys(map(_model_of, cards.members)))
    article = "An" if cards.kind == "ensemble" else "A"
    return (
        f"{article} {cards.kind} of softcloze {plain(version('softcloze'))}, which {verb} with the frozen model "
        f"{models}. The model is not in this repository."
    )


def _class_of(cards: SavedCards) -> str:
    from softcloze.heads import EXCLUSIVE

    if cards.kind != "prompt":
        return _CLASSES[cards.kind]
    is_exclusive = cards.prompts[0].entries["head"] in EXCLUSIVE
    return "PromptClassifier" if is_exclusive else "MultiLabelPromptClassifier"


def _loading_lines(cards: SavedCards, location: str) -> list[str]:
    loader = _class_of(cards)
    others = [name for name in map(_model_of, cards.members) if not is_hub_name(name) and not name.startswith(STARTER)]
    fields = cards.fields
    example: object = "..." if len(fields) == 1 else dict.fromkeys(fields, "...")
    argument = "encoder" if isinstance(cards.members[0], ProbeCard) else "model"
    model = f', {argument}="NAME OR FOLDER OF THE MODEL"' if others else ""
    lines = [
        f"from softcloze import {loader}",
        f'prompt = {loader}.load("{location}"{model})',
        f"prompt.predict([{example!r}])",
    ]
    note = "The model was a folder of its author: give your copy of it." if others else ""
    return [*fenced("\n".join(lines), "python"), *(["", note] if note else [])]


def _member_lines(member: Card, heading: str) -> list[str]:
    if isinstance(member, ProbeCard):
        lines = [f"{heading} Input", "", f"A linear layer on the {plain(member.description)}.", ""]
        lines += [f"{heading} Labels", "", ", ".join(map(plain, member.labels)), ""]
    else:
        lines = [f"{heading} Template", "", *_template_lines(member.template), ""]
        if isinstance(member, PromptCard):
            lines += [f"{heading} Labels and label words", "", *_label_lines(member), ""]
    return [*lines, f"{heading} Training", "", *_training_lines(member), ""]


def _template_lines(template: Template) -> list[str]:
    parts = describe(template.nodes, template.node_blocks)
    rows = [(NAMES[part.kind], part.text, part.what) for part in parts if part.kind != "literal"]
    return [*fenced(str(template)), "", *_table(("part", "written", "purpose"), rows)]


def _label_lines(card: PromptCard) -> list[str]:
    match card.entries["verbalizer"]:
        case {"kind": "field", "field": field, "most": most}:
            return [f"The labels are the choices of each example, at most {most} in the field {plain(field)}."]
        case {"kind": "rules", "rules": rules}:
            return _table(
                ("label", "label words by mask"),
                [(label, "; ".join(f"{mask}: {_words(words)}" for mask, words in by.items())) for label, by in rules],
            )
        case {"kind": "ordinal", "labels": labels, "low": low, "high": high}:
            words = {labels[0]: _words(low), labels[-1]: _words(high)}
            return _table(
                ("label, from the lowest", "label words"), [(label, words.get(label, "")) for label in labels]
            )
        case entry:
            return _table(("label", "label words"), [(label, _words(words)) for label, words in entry["words"]])


def _words(words: Sequence[str] | Mapping[str, float]) -> str:
    if isinstance(words, Mapping):
        return ", ".join(f"{word} (weight {weight:g})" for word, weight in words.items())
    return ", ".join(words)


def _training_lines(member: Card) -> list[str]:
    entries, training = member.entries, member.entries["training"]
    history = training.get("history", [])
    facts: dict[str, object] = {}
    if isinstance(member, PromptCard):
        facts |= {"head": entries["head"]}
        if entries["calibration"] is not None:
            facts |= {"calibration": entries["calibration"].get("method", "")}
    if (demonstrations := entries.get("demonstrations")) is not None:
        shown = counted(len(demonstrations["examples"]), "example")
        facts |= {"demonstrations": f"{demonstrations['method']}, from {shown} in this repository"}
    if not training:
        return ["Nothing was trained.", "", *_table(("fact", "value"), [*facts.items()])]
    facts |= {"training examples": training.get("examples", "unknown")}
    if history:
        last = {f"{name} of the last epoch": history[-1].get(name) for name in ("loss", "accuracy")}
        facts |= {"epochs": len(history), **last}
    facts |= {name.replace("_", " "): training.get(name) for name in _SETTINGS}
    known = [(name, value) for name, value in facts.items() if isinstance(value, str | int | float)]
    return _table(("fact", "value"), known)


def _metric_lines(metrics: Mapping[str, float]) -> list[str]:
    if not metrics:
        return ["## Metrics", "", "None are given. Measure the prompt on labelled examples of yours.", ""]
    return ["## Metrics", "", *_table(("metric", "value"), [*metrics.items()]), ""]


def _limits(cards: SavedCards) -> list[str]:
    lines = [
        "- It works with this model alone: weights and tokenizer are compared by checksums when it is loaded.",
    ]
    if cards.kind != "generator":
        lines.append("- A text that fits none of the labels gets one of them all the same.")
    lines.append("- A text that is longer than the model's limit is cut; softcloze counts what was cut.")
    if count := example_count(cards):
        lines.append(f"- This repository holds {counted(count, 'training example')}, for the demonstrations.")
    else:
        lines.append("- It holds no training examples. Trained vectors may still tell something about them.")
    return lines


def _table(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> list[str]:
    cells = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]


def _cell(value: object) -> str:
    return plain(f"{value:.6g}" if isinstance(value, float) else value)


def _model_of(member: Card) -> str:
    return str(member.entries["encoder"] if isinstance(member, ProbeCard) else member.entries["model"])


def _demonstrations(cards: SavedCards) -> list[dict[str, Any]]:
    found = (member.entries.get("demonstrations") for member in cards.members)
    return [demonstrations for demonstrations in found if demonstrations is not None]


def _saved_metrics(cards: SavedCards) -> dict[str, float]:
    return {} if cards.is_ensemble else dict(cards.members[0].entries.get("metrics", {}))
