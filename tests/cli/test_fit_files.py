"""Messages of softcloze fit about its rows."""

import pytest

from softcloze.cli.fit_files import warn_of_language

CHINESE, ENGLISH = [{"评论": "物流很快，包装完好。", "id": "7"}], [{"text": "It arrived in time."}]


@pytest.mark.parametrize(
    "model, examples, warned",
    [
        ("starter:smollm2-135m", CHINESE, True),
        ("starter:smollm2-135m", ENGLISH, False),
        ("starter:gemma3-270m", CHINESE, False),
        ("my-model", CHINESE, False),
    ],
)
def test_chinese_texts_for_a_starter_that_reads_english_alone(capsys, model, examples, warned):
    warn_of_language(model, examples)
    assert ("take a model that reads Chinese, as in --model starter:gemma3-270m" in _unwrapped(capsys)) is warned


def _unwrapped(capsys):
    return " ".join(capsys.readouterr().err.split())
