"""The spread over prompt variants, in the table and on the page."""

from dataclasses import replace
from statistics import median

from softcloze.experiments import MethodCard, spread_over_variants


def test_the_spread_and_where_it_is_shown(make, tmp_path):
    names = ["one", "two", "三", "other"]
    cards = [MethodCard(name, name, f"<text> {name} <mask>", "films") for name in names[:3]]
    skill = {"one": 0.2, "two": 2.0, "三": 0.8}
    found = make(methods=[*cards, MethodCard("other", "alone", "<text> <mask>")], skill=skill, rows=100, seeds=1)
    (spread,) = spread_over_variants(found)
    accuracy = {each.method: each.accuracy.mean for each in found.summary()}
    assert (spread.worst.method, spread.best.method, spread.count) == ("one", "two", 3)
    assert spread.median == median(accuracy[name] for name in names[:3])
    told = f"worst {accuracy['one']:.3f} (one), median {accuracy['三']:.3f}, best {accuracy['two']:.3f} (two)"
    assert f"3 prompt variants of films: {told}" in str(found.table())
    html = found.report(tmp_path / "page.html").read_text("utf-8")
    assert "accuracy of the 3 prompt variants of <b>films</b> ranges from" in html
    single = replace(found, methods=(cards[0], *(replace(card, variant_of=None) for card in found.methods[1:])))
    assert spread_over_variants(single) == () and "variants" not in str(single.table())
