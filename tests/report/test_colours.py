"""Colours of the report have enough contrast by WCAG 2.2."""

import re
from importlib.resources import files
from itertools import combinations

import pytest

from softcloze.report.svg import MARKERS, METHOD_COLOURS
from softcloze.template.describe import STYLES

TEXT, SHAPE = 4.5, 3.0  # what success criteria 1.4.3 and 1.4.11 ask for, level AA


def schemes():
    """The colours of the light and the dark scheme."""
    sheet = files("softcloze.report").joinpath("style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]
    return dict(zip(("light", "dark"), found, strict=True))


def parts(colour):
    """Red, green, blue and opacity, from 0 to 1."""
    digits = colour.removeprefix("#")
    if len(digits) < 6:
        digits = "".join(digit * 2 for digit in digits)
    *rgb, alpha = (part / 255 for part in bytes.fromhex(digits.ljust(8, "f")))
    return rgb, alpha


def over(colour, ground, share=1.0):
    """A colour blended with the background."""
    rgb, alpha = parts(colour)
    behind, _ = parts(ground)
    opaque = alpha * share
    mixed = [opaque * above + (1 - opaque) * below for above, below in zip(rgb, behind, strict=True)]
    return "#" + "".join(f"{round(255 * value):02x}" for value in mixed)


def luminance(colour):
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts(colour)[0]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture(params=["light", "dark"])
def colours(request):
    """The colours of each scheme in turn."""
    return schemes()[request.param]


def test_contrast_is_counted_right():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert over("#00000080", "#ffffff") == "#7f7f7f"


def test_text(colours):
    for ground in (colours["ground"], colours["tint"]):
        for ink in ("ink", "faint", "accent"):
            assert contrast(colours[ink], ground) >= TEXT
    assert contrast(colours["ink"], over(colours["line"], colours["ground"], 0.5)) >= TEXT  # names in sentences
    assert contrast(colours["ink"], over(colours["accent"], colours["ground"], 0.38)) >= TEXT  # confusion matrices


def test_parts_of_templates(colours):
    for style in STYLES.values():
        background = re.search(r"background:(#[0-9a-f]+)", style)
        ground = over(background[1], colours["ground"]) if background else colours["ground"]
        assert contrast(colours["ink"], ground) >= TEXT


def test_methods_in_plots(colours):
    methods = [colours[f"method-{i}"] for i in range(METHOD_COLOURS)]
    assert all(contrast(colour, colours["ground"]) >= SHAPE for colour in methods)
    assert len(set(methods)) == METHOD_COLOURS
    looks = [(i % METHOD_COLOURS, MARKERS[i % len(MARKERS)]) for i in range(40)]
    assert len(set(looks)) == 40
    for (i, one), (j, other) in combinations(enumerate(looks[:40]), 2):
        if one[0] == other[0]:  # colour alone never tells two methods apart
            assert one[1] != other[1], (i, j)


def test_both_schemes_have_the_same_colours():
    light, dark = schemes().values()
    assert light.keys() == dark.keys()
