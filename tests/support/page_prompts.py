"""Prompts for the page of the service: several fields, choices, truncation, many labels, Chinese, and hostile text."""

import torch

from softcloze import Prompt, Template, Verbalizer
from softcloze.prompt import GeneratorPrompt
from softcloze.registry import Registry
from softcloze.verbalizer import FieldVerbalizer

HOSTILE = "<img src=x onerror=alert(1)></script></textarea>\"'"
LONG_EXAMPLE = "\n" + "It goes on and on. " * 9
_CHOICES = [{"text": "It was", "choices": ["good", "film"]}]
_SENTIMENT = Verbalizer({"positive": ["good", "great"], "negative": ["bad", "terrible"]})
_LITERAL = HOSTILE.replace("<", r"\<")


def page_registry(folder, backbone):
    """Make a registry in which every prompt is live, and one has another alias too."""
    registry = Registry(folder)

    def add(name, template, words=_SENTIMENT, alias="live", examples=()):
        prompt = Prompt(Template(template), words, backbone.name, backbone.fingerprint)
        registry.promote(str(registry.add(prompt, name, examples=examples)), alias)

    add("reviews", "<text> It was<mask>", examples=["A delight.", LONG_EXAMPLE])
    add("reviews", "<text> In all, a<mask>", alias="canary")
    add("pairs", "Both <a> and <b> were<mask>", examples=[{"a": "cast", "b": "music"}])
    add("short", "<text max=2> It was<mask>")
    add(
        "choices",
        "<text> <options field=choices><mask>",
        FieldVerbalizer("choices", most=3, answers="word"),
        examples=_CHOICES,
    )
    add("topics", "<text> It is about<mask>", Verbalizer({f"topic {i}": w for i, w in enumerate(_WORDS)}))
    add("chinese", "<text> 总之，很<mask>", Verbalizer({"好评": "好", "差评": "差"}), examples=["很好看。"])
    moods = Verbalizer({"calm": "quiet", "loud": ["loud", "noise"], "old": "old"})
    thresholds = {"slopes": torch.ones(3), "thresholds": torch.tensor([-99.0, 0.0, -99.0])}  # the first and the last
    prompt = Prompt(
        Template("<text> It is<mask>"),
        moods,
        backbone.name,
        backbone.fingerprint,
        head="thresholds",
        head_tensors=thresholds,
    )
    registry.promote(str(registry.add(prompt, "moods")))
    add("hostile", f"<text>{_LITERAL}<mask>", Verbalizer({HOSTILE: "good", "b": "bad"}), examples=[HOSTILE])
    return registry


def generator_registry(folder, backbone):
    """Make a registry in which every generator is live, and one prompt that classifies."""
    registry = Registry(folder)

    def add(name, template, alias="live", examples=()):
        prompt = GeneratorPrompt(Template(template), backbone.name, backbone.fingerprint)
        registry.promote(str(registry.add(prompt, name, examples=examples)), alias)

    add("shorten", "<text> In short:<answer max=12>")
    add("shorten", "<text> In all:<answer max=6>", alias="canary")
    add("titled", "<title>: <body> So:<answer max=5>", examples=[{"title": "A", "body": "b"}])
    add("endless", "<text max=9>:<answer max=2000>")
    add("hostile", f"<text>{_LITERAL}<answer max=8>")
    reviews = Prompt(Template("<text> It was<mask>"), _SENTIMENT, backbone.name, backbone.fingerprint)
    registry.promote(str(registry.add(reviews, "reviews")))
    return registry


_WORDS = ["good", "bad", "great", "terrible", "film", "story", "cast", "music", "end", "book", "year", "scene"]
