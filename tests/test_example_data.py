"""The pairs in examples/data are what their README says."""

import json
import re
from pathlib import Path

import pytest

from softcloze.data.examples import normalise

DATA = Path(__file__).parent.parent / "examples" / "data"
COLUMNS = {
    "enquiries_to_json": ["text", "answer", "split"],
    "instructions_en": ["instruction", "input", "answer", "split"],
    "instructions_zh": ["instruction", "input", "answer", "split"],
    "orders_to_json": ["text", "answer", "split"],
    "summaries": ["text", "answer", "split"],
    "summaries_zh": ["text", "answer", "split"],
    "translations_en_zh": ["text", "answer", "split"],
}
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBERS = re.findall(
    "[a-z]+", "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
)
CHINESE = re.compile("[\u4e00-\u9fff]")


def pairs(name):
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def inputs(pair):
    return tuple(normalise(value) for column, value in pair.items() if column not in ("answer", "split"))


def test_every_file_is_tested_and_listed():
    assert sorted(path.stem for path in DATA.glob("*.jsonl")) == sorted(COLUMNS)
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for name, columns in COLUMNS.items():
        row = f"| `{name}.jsonl` | {', '.join(f'`{column}`' for column in columns[:-1])} | {len(pairs(name))} |"
        assert row in readme


@pytest.mark.parametrize("name", COLUMNS)
def test_pairs(name):
    rows = pairs(name)
    assert all(list(row) == COLUMNS[name] for row in rows)
    for row in rows:
        for column, value in row.items():
            assert isinstance(value, str) and value == value.strip() and (value or column == "input"), row
    assert [row["split"] for row in rows] == ["train"] * 32 + ["test"] * (len(rows) - 32)
    assert len(rows) >= 60
    assert len({inputs(row) for row in rows}) == len(rows)


def test_longer_texts_are_in_one_file_and_one_split():
    splits = {}
    for name in COLUMNS:
        for row in pairs(name):
            for column in ("text", "input", "answer"):
                text = normalise(row.get(column, ""))
                if len(text) > 45:
                    assert splits.setdefault(text, (name, row["split"])) == (name, row["split"]), text


def test_languages():
    for name, column, is_chinese in [
        ("instructions_zh", "instruction", True),
        ("instructions_en", "instruction", False),
        ("instructions_en", "answer", False),
        ("summaries", "text", False),
        ("summaries_zh", "text", True),
        ("summaries_zh", "answer", True),
        ("translations_en_zh", "text", False),
        ("translations_en_zh", "answer", True),
    ]:
        assert all(bool(CHINESE.search(row[column])) == is_chinese for row in pairs(name)), (name, column)


def test_answers_are_short():
    longest = {"instructions_en": 100, "instructions_zh": 45, "translations_en_zh": 45}
    for name, characters in longest.items():
        assert max(len(row["answer"]) for row in pairs(name)) <= characters


def test_summaries_are_one_sentence_and_much_shorter_than_the_paragraph():
    for row in pairs("summaries"):
        words, summary = row["text"].split(), row["answer"].split()
        assert 60 <= len(words) <= 80 and 8 <= len(summary) <= 20, row
        assert row["answer"].endswith(".") and row["answer"].count(". ") == 0, row
    for row in pairs("summaries_zh"):
        assert 95 <= len(row["text"]) <= 140 and 20 <= len(row["answer"]) <= 36, row
        assert row["answer"].endswith("。") and row["answer"].count("。") == 1, row


def times(text):
    """Times of day that stand in a message, in 24 hours."""
    for hour, minute, half in re.findall(r"\b(\d{1,2})(?:[: ](\d\d))? ?(am|pm)\b", text):
        yield f"{int(hour) % 12 + 12 * (half == 'pm'):02}:{minute or '00'}"
    yield from re.findall(r"\b(\d\d:\d\d)\b(?! ?[ap]m)", text)
    yield from ("12:00" for _ in re.findall(r"\bnoon\b", text))


@pytest.mark.parametrize("row", pairs("orders_to_json"), ids=lambda row: row["text"][:30])
def test_a_booking_says_what_stands_in_the_message(row):
    text, form = row["text"], json.loads(row["answer"])
    assert list(form) == ["name", "people", "day", "time", "note"]
    assert row["answer"] == json.dumps(form, ensure_ascii=False)
    name, people, day, time, note = form.values()
    for copied in (name, note):
        assert copied is None or (isinstance(copied, str) and re.search(rf"\b{re.escape(copied)}\b", text))
    if people is None:
        assert not re.search(r"\b\d+ (people|guests|persons)|table for", text)
    else:
        words = [str(people), *NUMBERS[people - 1 : people], *(["me"] if people == 1 else [])]
        assert type(people) is int and re.search(rf"\b({'|'.join(words)})\b", text, re.IGNORECASE)
    if day in WEEKDAYS:
        assert re.search(rf"\b{day[:3]}", text, re.IGNORECASE)
    else:
        assert day in (None, "today", "tonight", "tomorrow") and (day or "") in text.lower()
        assert day or not re.search("|".join(WEEKDAYS), text)
    assert time is None or re.fullmatch(r"(0\d|1\d|2[0-3]):[0-5]\d", time)
    written = [*times(text)]
    if written:
        assert written == [time]
    else:
        assert time in (None, "18:30", "19:30", "20:00", "21:00", "22:00") or "noon" in text, (text, time)


def test_every_field_is_sometimes_missing_and_varied():
    forms = [json.loads(row["answer"]) for row in pairs("orders_to_json")]
    for field in ("name", "people", "day", "time", "note"):
        values = [form[field] for form in forms]
        assert None in values and len(set(values)) >= 10
    assert len(forms) >= 120


def test_an_enquiry_says_what_stands_in_the_message():
    wanted = []
    for row in pairs("enquiries_to_json"):
        text, form = row["text"], json.loads(row["answer"])
        assert list(form) == ["order", "item", "city", "wants"]
        assert row["answer"] == json.dumps(form, ensure_ascii=False)
        numbers = re.findall(r"\b[a-z]\d{4}\b", text, re.IGNORECASE)
        assert numbers == [form["order"]] * len(numbers)
        assert form["order"] is None or numbers
        assert form["item"] in text and (form["city"] or "") in text
        wanted.append(form["wants"])
    assert {want: wanted.count(want) for want in wanted} == dict.fromkeys(
        ("refund", "exchange", "repair", "information"), 24
    )
