"""Layout of the report in a browser: nothing is wider than a phone, and no text is cut off."""

import json
import os
import re
import shutil
import subprocess
from html import escape, unescape

import pytest

from softcloze.experiments import MethodCard
from softcloze.report.page import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTH = 360  # pixels, the narrowest telephones in use
MEASURE = """
const inside = document.querySelector("iframe").contentDocument, root = inside.documentElement
const wide = [], cut = []
for (const each of inside.body.querySelectorAll("*")) {
  const box = each.getBoundingClientRect()
  if (box.right > WIDTH + 0.5 && !each.closest(".scroll > *")) wide.push(each.tagName + " " + each.className)
}
for (const text of inside.querySelectorAll("svg text")) {
  const box = text.getBoundingClientRect(), image = text.closest("svg").getBoundingClientRect()
  const fits = box.left > image.left - 1 && box.right < image.right + 1 && box.bottom < image.bottom + 1
  if (!fits) cut.push(text.textContent)
}
document.body.dataset.found = JSON.stringify({
  page: root.scrollWidth, wide, cut, texts: inside.querySelectorAll("svg text").length,
})
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which Debian has as a package, to lay the page out")
def test_fits_a_telephone(make, tmp_path):
    names = ("an unbroken_name_of_a_method_that_goes_on_and_on_and_on_for_much_too_long", "很长的方法名称" * 8, "短")
    methods = tuple(MethodCard(name, name * 3, f"<soft*3><text> {name} <mask>") for name in names)
    classes = tuple(f"class number {i} 类别" for i in range(9))
    shots, texts = (1, 16, 0.5, "all"), ("x" * 900, "好" * 900)
    report = page(make(shots=shots, rows=27, seeds=1, methods=methods, classes=classes, texts=texts))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe width="{WIDTH}" height="800" srcdoc="{escape(report)}"></iframe>'
        f"<script>onload = () => {{ const WIDTH = {WIDTH}; {MEASURE} }}</script>",
        encoding="utf-8",
    )
    command = [CHROMIUM, "--headless", "--disable-gpu", "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--no-sandbox"] * (os.geteuid() == 0) + [frame.as_uri()]
    shown = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=120).stdout
    found = json.loads(unescape(re.search(r'data-found="(.*?)"', shown)[1]))
    assert found["page"] <= WIDTH
    assert found["wide"] == []
    assert found["cut"] == []
    assert found["texts"] > 50
