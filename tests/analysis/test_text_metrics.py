import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from softcloze.analysis import TEXT_METRICS, measure_texts
from softcloze.analysis.json_fields import field_shares, json_rows
from softcloze.analysis.text_metrics import tokenizer_for_bleu, words
from softcloze.errors import DataError, ParameterError

ENGLISH = [
    ("The committee approved the new budget on Monday.", "On Monday the committee approved the new budget."),
    ("A red car_2 stood outside; nobody came.", "A red car_2 was standing outside, and nobody came."),
    ("", "The shop opens at nine."),
    ("Fine.", "Fine."),
    ("The train is late because of snow on the line", "Snow on the line delays the train"),
]
CHINESE = [
    ("今天上海下雨,气温下降。", "上海今天有雨，气温下降。"),
    ("请把附件发给王经理。", "请把附件发给王经理。"),
    ("会议改到周五下午三点 Zoom", "会议改到星期五下午 3 点，在 Zoom 上举行。"),
    ("", "图书馆周一闭馆。"),
]


def split(pairs):
    predictions, references = zip(*pairs, strict=True)
    return list(predictions), [[reference] for reference in references]


@pytest.mark.parametrize(("pairs", "tokenizer"), [(ENGLISH, "13a"), (CHINESE, "zh")])
def test_chrf_and_bleu_are_those_of_sacrebleu(pairs, tokenizer):
    predictions, references = split(pairs)
    streams = [[row[0] for row in references]]
    chrf, bleu = (measure_texts(metric, predictions, references) for metric in ("chrf", "bleu"))
    assert chrf.total == pytest.approx(sacrebleu.corpus_chrf(predictions, streams).score)
    assert bleu.total == pytest.approx(sacrebleu.corpus_bleu(predictions, streams, tokenize=tokenizer).score)
    rows = list(zip(predictions, references, strict=True))
    assert chrf.rows == pytest.approx([sacrebleu.sentence_chrf(*row).score for row in rows])
    single = [sacrebleu.sentence_bleu(*row, tokenize=tokenizer, use_effective_order=True).score for row in rows]
    assert bleu.rows == pytest.approx(single)


@pytest.mark.parametrize("metric", ["rouge1", "rouge2", "rougeL"])
def test_rouge_of_english_is_that_of_rouge_score(metric):
    predictions, references = split(ENGLISH)
    scorer = RougeScorer([metric])
    plain = [scorer.score(row[0], text)[metric].fmeasure for text, row in zip(predictions, references, strict=True)]
    measured = measure_texts(metric, predictions, references)
    assert measured.rows == pytest.approx(plain)
    assert measured.total == pytest.approx(np.mean(plain))


@pytest.mark.parametrize(
    "text", ["今天天气很好，我们去公园吧。", "คนไทยชอบกินข้าว", "Ça va à l'été", "Привет, как дела сегодня?"]
)
def test_equal_texts_have_the_highest_scores_in_every_script(text):
    for metric, best in {"chrf": 100, "bleu": 100, "rouge1": 1, "rouge2": 1, "rougeL": 1, "exact_match": 1}.items():
        measured = measure_texts(metric, [text], [[text]])
        assert measured.total == pytest.approx(best), metric
        assert measured.rows == pytest.approx([best]), metric


def test_characters_without_spaces_are_words():
    assert words("GPT-2 写诗，很好！") == ["gpt", "2", "写", "诗", "很", "好"]
    assert words("cafe\u0301") == words("caf\u00e9") == ["caf\u00e9"]
    assert words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert words(" 。\n") == []


def test_the_best_of_several_references_counts():
    predictions = ["今天有雨", "a b c d"]
    references = [["明天晴", "今天有雨"], ["a b c d e"]]
    assert measure_texts("exact_match", predictions, references).rows.tolist() == [1, 0]
    assert measure_texts("rougeL", predictions, references).rows[0] == 1
    streams = [["明天晴", "a b c d e"], ["今天有雨", None]]
    assert measure_texts("chrf", predictions, references).total == pytest.approx(
        sacrebleu.corpus_chrf(predictions, streams).score
    )
    assert measure_texts("bleu", predictions, references, "zh").total == pytest.approx(
        sacrebleu.corpus_bleu(predictions, streams, tokenize="zh").score
    )


def test_empty_texts():
    for metric in ("chrf", "bleu", "rouge1", "rougeL"):
        assert measure_texts(metric, ["", "a", ""], [["b"], [""], [""]]).rows.tolist() == [0, 0, 0], metric
    assert measure_texts("exact_match", ["", "a"], [[" \n"], [""]]).rows.tolist() == [1, 0]


def test_exact_match_ignores_width_and_white_space_alone():
    pairs = [("好:１\n", "好： 1"), ("Yes", "yes"), ("Yes.", "Yes"), ("a  b", "a b"), ("ab", "a b")]
    assert measure_texts("exact_match", *split(pairs)).rows.tolist() == [0, 0, 0, 1, 0]
    assert measure_texts("exact_match", ["好:１\n"], [["好：1"]]).rows.tolist() == [1]


def test_sums_of_parts_give_the_metric_of_any_rows():
    predictions, references = split(ENGLISH)
    drawn = [0, 0, 1, 4]
    counts = np.array([2, 1, 0, 0, 1], dtype=np.float32)
    for metric in ("chrf", "bleu", "rougeL", "exact_match"):
        value = measure_texts(metric, predictions, references)
        again = measure_texts(metric, [predictions[row] for row in drawn], [references[row] for row in drawn])
        assert value.value((counts @ value.parts)[None]) == pytest.approx([again.total]), metric


FORM = '{"name": "Chen", "people": 4, "note": null}'


@pytest.mark.parametrize(
    ("text", "is_valid", "share"),
    [
        (FORM, True, 1),
        (' {"note":null,\n"people":4,"name":"\\u0043hen"} ', True, 1),
        ('{"name": "chen", "people": 4, "note": null}', True, 2 / 3),
        ('{"name": "Chen", "people": "4", "note": null}', True, 2 / 3),
        ('{"name": "Chen", "people": 4.0, "note": false}', True, 1 / 3),
        ('{"name": "Chen", "people": true, "note": null}', True, 2 / 3),
        ('{"name": "Chen", "people": 4}', False, 0),
        ('{"name": "Chen", "people": 4, "note": null, "day": null}', False, 0),
        (FORM + FORM, False, 0),
        (FORM[:-1], False, 0),
        ("[" * 100_000, False, 0),
        ('["name", "people", "note"]', False, 0),
        ('{"name": NaN, "people": 4, "note": null}', False, 0),
        ("", False, 0),
    ],
)
def test_json(text, is_valid, share):
    (row,) = json_rows([text], [[FORM]])
    assert (row.is_valid, row.share) == (is_valid, pytest.approx(share))
    measured = [measure_texts(metric, [text], [[FORM]]).total for metric in ("json_valid", "json_exact", "json_fields")]
    assert measured == pytest.approx([float(is_valid), float(share == 1), share])


def test_fields_of_json():
    rows = json_rows(
        ['{"a": 1, "b": 2}', '{"a": 1}', "-"], [['{"a": 1, "b": 3}', '{"a": 0, "b": 0}'], ['{"a": 1}'], ['{"b": 0}']]
    )
    assert field_shares(rows) == {"a": 1, "b": 0}
    with pytest.raises(DataError, match=r"row 1: the reference '\[\]' is not a JSON object"):
        measure_texts("json_valid", ["{}", "{}"], [["{}"], ["[]"]])


def test_unknown_metrics_and_tokenizers():
    with pytest.raises(ParameterError, match=r"metric 'rougel' is unknown; expected chrf, .*; did you mean 'rougeL'"):
        measure_texts("rougel", ["a"], [["a"]])
    with pytest.raises(ParameterError, match=r"bleu_tokenizer='ja', but it has to be '13a', 'zh', .* or None"):
        measure_texts("bleu", ["a"], [["a"]], "ja")


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("softcloze.analysis.text_metrics.find_spec", lambda name: None)
    for metric, package in [("chrf", "sacrebleu"), ("bleu", "sacrebleu"), ("rougeL", "rouge_score")]:
        message = rf"metric '{metric}' needs {package}; install with: pip install 'softcloze\[generation\]'"
        with pytest.raises(ParameterError, match=message):
            measure_texts(metric, ["a"], [["a"]])
    rest = [metric for metric in TEXT_METRICS if metric not in ("chrf", "bleu", "rouge1", "rouge2", "rougeL")]
    assert [measure_texts(metric, ["{}"], [["{}"]]).total for metric in rest] == [1] * len(rest)


def test_the_tokenizer_of_bleu_follows_the_script_of_the_references():
    scripts = {"zh": "Gemma 写诗", "char": "日本語のテキスト", "13a": "Это русский текст, okay?"}
    assert {tokenizer_for_bleu([[text]]): text for text in scripts.values()} == scripts
