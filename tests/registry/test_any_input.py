"""Any text as a reference, any bytes as a file: a right answer or an error of softcloze."""

import json
from contextlib import suppress
from dataclasses import asdict

from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.errors import ArtifactError, RegistryError
from softcloze.registry import Change, Registry
from softcloze.registry.history import append_change, read_history, version_before
from softcloze.registry.references import parse_reference

FEW = settings(max_examples=settings.default.max_examples // 4)
NAMES = st.text(st.sampled_from("ab0.-_@/A\\ \0\n评"), max_size=8)
NUMBERS = st.one_of(st.none(), st.integers(1, 5))
CHANGES = st.builds(
    Change, st.just("2026"), st.text(), st.sampled_from(["promote", "rollback", "remove", "add"]),
    st.sampled_from(["live", None]), NUMBERS, NUMBERS, st.text(),
)  # fmt: skip


@FEW
@given(st.one_of(st.text(), NAMES, st.builds("{}@{}".format, NAMES, NAMES)))
def test_a_reference_is_parsed_or_an_error(text):
    with suppress(RegistryError):
        parsed = parse_reference(text)
        assert parse_reference(str(parsed)) == parsed
        assert str(parsed) in (text, f"{text}@live")
        assert not {*"/\\\0\n "} & {*str(parsed)} and ".." not in str(parsed)


@FEW
@given(content=st.one_of(st.binary(), st.lists(CHANGES).map(lambda cs: "".join(c.to_line() for c in cs).encode())))
def test_a_history_is_read(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "history.jsonl"
    path.write_bytes(content)
    before = read_history(path)
    change = Change.now("promote", "live", None, 1, "好")
    append_change(path, change)
    assert read_history(path) == [*before, change]
    assert json.loads(path.read_bytes().splitlines()[-1]) == asdict(change)
    version_before([item for item in before if isinstance(item, Change)], "live", 1)


@FEW
@given(content=st.one_of(st.binary(), st.from_regex(r"\s*[0-9]{1,12}\s*").map(str.encode)))
def test_an_alias_names_a_version_or_is_an_error(read_only, content):
    registry = Registry(read_only.folder)
    path = registry.folder / "reviews" / "aliases" / "any"
    path.write_bytes(content)
    try:
        with suppress(ArtifactError):
            assert registry.resolve("reviews@any").number == int(content)
        assert "reviews@any" in registry.state()
    finally:
        path.unlink()
