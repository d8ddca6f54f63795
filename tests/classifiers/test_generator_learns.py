"""A small model learns to write a fixed form from 32 pairs."""

import re

import pytest

from softcloze import PromptGenerator, load_backbone

NAMES = ["Anna", "Omar", "Lena", "Peter", "Sofia", "Ivan", "Maria", "Noah", "Emma", "Paul"]
CITIES = ["Rome", "Oslo", "Paris", "Lima", "Cairo", "Tokyo", "Berlin", "Madrid"]
SENTENCES = ["{} lives in {}.", "{} has just moved to {}.", "My friend {} works in {}.", "I met {} in {}."]


@pytest.mark.slow
def test_a_fixed_form_is_learnt_from_32_pairs():
    every = [(name, city) for i in range(8) for name, city in zip(NAMES, CITIES[i:] + CITIES[:i], strict=False)][:42]
    texts = [SENTENCES[i % 4].format(*pair) for i, pair in enumerate(every)]
    answers = [f"<{name}> @ {city}" for name, city in every]
    backbone = load_backbone("starter:smollm2-135m", dtype="bfloat16")
    template = "<text>\n<soft*8>Record: <answer max=12>\n"
    generator = PromptGenerator(backbone, template, epochs=8, learning_rate=0.3, random_state=0)
    hard = PromptGenerator(backbone, template.replace("<soft*8>", ""))
    written = generator.fit(texts[:32], answers[:32]).predict(texts[32:])
    form = re.compile(r"<\w+> @ \w+")
    assert sum(bool(form.fullmatch(text)) for text in written) >= 9
    assert not any(form.fullmatch(text) for text in hard.predict(texts[32:]))
