"""Every entry of the library: complete by task and language, consistent, and usable with every tokenizer."""

from collections import defaultdict
from functools import cache

import pytest
from support import models
from support.chat_templates import CHATML

from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer
from softcloze.library import list_templates, list_verbalizers, load_template, load_verbalizer
from softcloze.lint import lint
from softcloze.lint.tokens import check_tokens
from softcloze.template import Mask, Soft, Template
from softcloze.verbalizer import Verbalizer

NO_LIMIT = 10**6
TASKS = {
    "boolq": ("passage", "question"),
    "emotion": ("text",),
    "formality": ("text",),
    "intent": ("text",),
    "nli": ("premise", "hypothesis"),
    "paraphrase": ("sentence1", "sentence2"),
    "question-type": ("text",),
    "sentiment": ("text",),
    "spam": ("text",),
    "stance": ("text", "target"),
    "subjectivity": ("text",),
    "topic": ("text",),
}
EXAMPLES = {
    "boolq/en": {"passage": "The city lies on both banks of the river.", "question": "Is there a river in the city?"},
    "boolq/zh": {"passage": "这座城市位于河的两岸。", "question": "城里有河吗？"},
    "emotion/en": {"text": "I got the job, I can hardly believe it!"},
    "emotion/zh": {"text": "我找到工作了，简直不敢相信！"},
    "formality/en": {"text": "gonna be late, sorry guys"},
    "formality/zh": {"text": "敬请各位代表准时出席会议。"},
    "intent/en": {"text": "Will it rain tomorrow?"},
    "intent/zh": {"text": "明天会下雨吗"},
    "nli/en": {"premise": "A man is asleep on a bench.", "hypothesis": "The man is running."},
    "nli/zh": {"premise": "一个人在长椅上睡觉", "hypothesis": "这个人在跑步。"},
    "paraphrase/en": {"sentence1": "He left at noon.", "sentence2": "At noon he went away."},
    "paraphrase/zh": {"sentence1": "他中午走了。", "sentence2": "他是中午离开的。"},
    "question-type/en": {"text": "Who wrote the book?"},
    "question-type/zh": {"text": "这本书是谁写的？"},
    "sentiment/en": {"text": "The film is a delight from the first scene to the last."},
    "sentiment/zh": {"text": "这部电影很好，演员也很好。"},
    "spam/en": {"text": "You have WON a prize, call now!!!"},
    "spam/zh": {"text": "恭喜您中奖，请速回电！"},
    "stance/en": {"text": "Leave the trees where they are.", "target": "the new road"},
    "stance/zh": {"text": "这些树应该留着。", "target": "修路"},
    "subjectivity/en": {"text": "The hotel has two hundred rooms."},
    "subjectivity/zh": {"text": "酒店的房间很干净。"},
    "topic/en": {"title": "", "text": "The team won the final by two goals."},
    "topic/zh": {"title": "决赛", "text": "球队以两球之差赢得决赛。"},
}
KNOWLEDGE = [f"{task}/{language}-knowledge" for task in ("sentiment", "topic") for language in ("en", "zh")]
WORKED = "Review: A dull film.\nSentiment: negative\n\nReview: A wonderful film.\nSentiment: positive\n\n"
WORKED_ZH = "房间又小又吵，服务态度也差。 总之，很糟糕\n\n内容很好，送货也快，值得一看。 总之，很推荐\n\n"
CHAT = "What is the sentiment of this review?\n\n<text><chat:assistant>The sentiment of this review is <mask>"
# these were measured and must not change
MEASURED = {
    "sentiment/en": "Review: <text>\nSentiment: <mask>",
    "sentiment/en-soft": "<soft*10> Review: <text>\nSentiment: <mask>",
    "sentiment/en-after": "Review: <text> <soft*10>\nSentiment: <mask>",
    "sentiment/en-chat": f"<chat:user>{CHAT}",
    "sentiment/en-chat-soft": f"<chat:user><soft*10> {CHAT}",
    "sentiment/en-worked": f"{WORKED}Review: <text>\nSentiment: <mask>",
    "sentiment/en-worked-front": f"<soft*10> {WORKED}Review: <text>\nSentiment: <mask>",
    "sentiment/en-worked-after": f'{WORKED}Review: <text> <soft*10 init=".">\nSentiment: <mask>',
    "sentiment/zh": "<text> 总之，很 <mask>",
    "sentiment/zh-soft": "<soft*10> <text> 总之，很 <mask>",
    "sentiment/zh-worked": f"{WORKED_ZH}<text> 总之，很<mask>",
    "sentiment/zh-worked-front": f"<soft*10>{WORKED_ZH}<text> 总之，很<mask>",
    "sentiment/zh-worked-after": f'{WORKED_ZH}<text><soft*3 init="。"> 总之，很<mask>',
}
# no byte fallback: they have only characters of their corpus, in which no word contains a j, for example
UNKNOWING = ("wordpiece", "xlmr", "albert")


@pytest.fixture(autouse=True, scope="module")
def _only_shipped_cards():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOFTCLOZE_LIBRARY", raising=False)
        yield


@cache
def prompt_tokenizer(kind):
    tokenizer = models.tokenizer(kind)
    tokenizer.chat_template = CHATML
    return PromptTokenizer(tokenizer, masked=kind in models.MASKED_TOKENIZERS)


@cache
def in_use():
    """Names of the verbalizers that some template uses."""
    return {load_template(name).verbalizer for name in list_templates()}


def compiled(card, kind):
    options = [words[0] for _, words in sorted(load_verbalizer(card.verbalizer).words.items())]
    return CompiledTemplate(card.template, prompt_tokenizer(kind), NO_LIMIT, options=options)


def example(card):
    return EXAMPLES[f"{card.task}/{card.language}"]


def test_each_task_has_both_languages_and_all_variants():
    kinds = defaultdict(set)
    for name in list_templates():
        card = load_template(name)
        kinds[card.task, card.language].add(card.kind)
    assert kinds.keys() == {(task, language) for task in TASKS for language in ("en", "zh")}
    assert all(variants >= {"hard", "soft", "mixed"} for variants in kinds.values())
    assert all("in-context" in kinds["sentiment", language] for language in ("en", "zh"))
    chats = {card.name for card in map(load_template, list_templates()) if card.template.turns}
    assert chats >= {f"{task}/{language}-chat" for task in TASKS for language in ("en", "zh")}


@pytest.mark.parametrize("name", list_templates())
def test_template_cards(name):
    card = load_template(name)
    task, variant = name.split("/")
    assert (card.name, card.task, card.language) == (name, task, variant.split("-")[0])
    assert set(card.fields) - {"title"} == set(TASKS[task])
    assert ("title" in card.fields) == variant.endswith("-title")
    assert ("-chat" in variant) == bool(card.template.turns)
    assert not variant.endswith(("-soft", "-mixed")) or card.template.turns or variant.endswith(f"-{card.kind}")
    words = load_verbalizer(card.verbalizer)
    assert (words.task, words.language) == (card.task, card.language)
    assert (card.file, card.replaces) == (None, False)
    check_texts(card)
    assert Template(str(card.template)) == card.template


@pytest.mark.parametrize("name", list_verbalizers())
def test_verbalizer_cards(name):
    card = load_verbalizer(name)
    task, variant = name.split("/")
    assert (card.name, card.task, card.language) == (name, task, variant.split("-")[0])
    assert card.words.keys() == load_verbalizer(f"{task}/en").words.keys()
    assert name in in_use() or name in KNOWLEDGE
    check_texts(card)


def test_each_task_has_label_words_in_both_languages():
    named = {name: load_verbalizer(name) for name in list_verbalizers()}
    assert {(card.task, card.language) for card in named.values()} == {
        (t, lang) for t in TASKS for lang in ("en", "zh")
    }
    assert all(f"{task}/{language}" in named for task in TASKS for language in ("en", "zh"))


@pytest.mark.parametrize("name", KNOWLEDGE)
def test_knowledge_lists(name):
    card = load_verbalizer(name)
    usual = load_verbalizer(name.removesuffix("-knowledge")).words
    folded = {label: [word.casefold() for word in words] for label, words in card.words.items()}
    listed = [word for words in folded.values() for word in words]
    assert len(listed) == len(set(listed))
    for label, words in folded.items():
        assert 100 <= len(words) <= 300
        assert card.words[label][0] == usual[label][0]  # the first word names the label
        assert all((min(word) >= "\u4e00") == (card.language == "zh") for word in words)
        # so that no word starts with the tokens of another label's word
        others = tuple(word for other, own in folded.items() if other != label for word in own)
        assert [word for word in words if word.startswith(others)] == []


def check_texts(card):
    assert card.description.endswith(".") and "\n" not in card.description and len(card.description) <= 150
    assert card.source.strip() == card.source and "\n" not in card.source


@pytest.mark.parametrize("name", MEASURED)
def test_measured_templates_stay(name):
    assert load_template(name).template == Template(MEASURED[name])


def test_measured_label_words_stay():
    assert load_verbalizer("sentiment/en").words == {"positive": ["positive"], "negative": ["negative"]}
    assert load_verbalizer("sentiment/zh").words == {"positive": ["满意"], "negative": ["失望"]}
    assert load_verbalizer("sentiment/zh-recommend").words == {"positive": ["推荐"], "negative": ["糟糕"]}


@pytest.mark.parametrize("name", list_templates())
def test_the_mask_is_last_but_in_clozes(name):
    *_, before_last, last = load_template(name).template.nodes
    assert last == Mask() or name.endswith("-cloze"), before_last


@pytest.mark.parametrize("name", list_templates())
def test_lint_finds_nothing(name):
    card = load_template(name)
    assert lint(card.template, load_verbalizer(card.verbalizer).words, fields=card.fields) == []


@pytest.mark.parametrize("name", list_templates())
def test_lint_finds_nothing_with_a_tokenizer(name):
    card = load_template(name)
    words = load_verbalizer(card.verbalizer).words
    for kind in ("roberta", "gpt2"):
        findings = check_tokens(card.template, prompt_tokenizer(kind), 512, words)
        assert {finding.code for finding in findings} <= {"several-tokens", "uneven-tokens", "after-mask"}
        assert all(finding.severity == "note" for finding in findings)


@pytest.mark.parametrize("name", list_templates())
def test_templates_encode_with_every_tokenizer(name):
    card = load_template(name)
    shown = [Demonstration(example(card), words[0]) for words in load_verbalizer(card.verbalizer).words.values()]
    demonstrations = [shown] if card.template.demos is not None else None
    for kind in models.TOKENIZERS:
        template = compiled(card, kind)
        (prompt,) = template.encode([example(card)], demonstrations=demonstrations)
        ids = [*prompt.left, *prompt.right]
        slots = {i for i in ids if i < 0}
        assert slots == set(range(-template.soft_count, 0)), kind
        assert any(isinstance(node, Soft) for node in card.template.nodes) == bool(slots)
        assert (prompt.cut, prompt.dropped) == ({}, 0), kind
        if kind in models.LOSSLESS and not card.template.has_logic:
            text = prompt_tokenizer(kind).decode([i for i in ids if i >= 0])
            assert all(example(card)[field] in text for field in card.fields), kind


@pytest.mark.parametrize("name", list_templates())
def test_label_words_have_distinct_tokens(name):
    card = load_template(name)
    verbalizer = Verbalizer(load_verbalizer(card.verbalizer).words)
    for kind in models.TOKENIZERS:
        if kind in UNKNOWING and (card.language == "zh" or "objective" in verbalizer.all_words):
            continue
        ids = [compiled(card, kind).word_ids(word) for word in verbalizer.all_words]
        assert all(ids), kind
        verbalizer.validate_tokens(
            ids, autoregressive=kind in models.CAUSAL_TOKENIZERS and card.template.nodes[-1] == Mask()
        )
