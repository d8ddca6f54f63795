"""The built distribution: its wheel finds every card of the library, wherever it is installed."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CARDS = {
    folder: {file.relative_to(ROOT / folder).with_suffix("").as_posix() for file in (ROOT / folder).rglob("*.toml")}
    for folder in ("templates", "verbalizers")
}
LOAD_ALL = """
import softcloze
from softcloze.library import list_templates, list_verbalizers, load_template, load_verbalizer

print(softcloze.__file__)
for name in list_templates():
    print("templates", load_template(name).name)
for name in list_verbalizers():
    print("verbalizers", load_verbalizer(name).name)
"""


def run(*command, **settings):
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8", **settings).stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_an_installed_wheel_loads_every_card(distributions, tmp_path):
    _, wheel = distributions
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    environment = {name: value for name, value in os.environ.items() if name != "SOFTCLOZE_LIBRARY"}
    output = run(sys.executable, "-c", LOAD_ALL, cwd=tmp_path, env=environment | {"PYTHONPATH": str(site)})
    imported, *loaded = output.splitlines()
    assert Path(imported) == site / "softcloze" / "__init__.py"
    assert {*loaded} == {f"{folder} {name}" for folder, names in CARDS.items() for name in names}


@pytest.mark.slow
def test_the_sdist_holds_every_card(distributions):
    sdist, _ = distributions
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {f"{folder}/{name}.toml" for folder, cards in CARDS.items() for name in cards}
