"""Draw the packages of softcloze and the imports between them.

Usage: python docs/floors.py     (writes docs/explanation/floors.svg)

A package stands one floor above the highest package that it imports. An arrow that other arrows imply is left out:
where A imports B and B imports C, the arrow from A to C is not drawn. Forwards, the only imports of a package further
up, are dashed.
"""

from collections.abc import Iterator
from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "explanation" / "floors.svg"
WIDTH, HEIGHT = 128, 30  # of a box
COLUMN, FLOOR = 158, 64  # from one box to the next
INK, PAPER, FORWARD = "#37474f", "#eceff1", "#c2185b"

Arrows = dict[str, set[str]]


def read_imports() -> tuple[Arrows, set[tuple[str, str]]]:
    """Return what each package imports of the packages before it, and the arrows up."""
    layers = run_path(str(ROOT / "tests" / "test_layers.py"))
    order: list[str] = layers["ORDER"]
    down: Arrows = {package: set() for package in order}
    up: set[tuple[str, str]] = set()
    for path in layers["FILES"]:
        importer = layers["package_of"](path)
        for module, *_ in layers["imports"](path):
            imported = module.split(".")[0]
            if importer not in order or imported not in order or imported == importer:
                continue
            if order.index(imported) < order.index(importer):
                down[importer].add(imported)
            else:
                up.add((importer, imported))
    return down, up


def floors(down: Arrows) -> dict[str, int]:
    """Return the floor of each package, 0 for those that import none."""
    floor: dict[str, int] = {}
    for package, imported in down.items():  # in the order of packages, so that what is imported comes first
        floor[package] = max((floor[other] + 1 for other in imported), default=0)
    return floor


def not_implied(down: Arrows) -> Arrows:
    """Return the arrows that do not follow from two or more others (the transitive reduction)."""
    below: Arrows = {}
    for package, imported in down.items():
        below[package] = imported.union(*(below[other] for other in imported))
    return {
        package: {one for one in imported if not any(one in below[other] for other in imported)}
        for package, imported in down.items()
    }


def positions(floor: dict[str, int], arrows: Arrows) -> dict[str, tuple[float, float]]:
    """Return the centre of each box: each floor is centred, and ordered by what its packages import."""
    top = max(floor.values())
    rows: list[list[str]] = [[package for package in floor if floor[package] == level] for level in range(top + 1)]
    widest = max(map(len, rows))
    centre: dict[str, tuple[float, float]] = {}
    for level, row in enumerate(rows):
        means = {package: _mean([centre[other][0] for other in arrows[package]]) for package in row}
        for column, package in enumerate(sorted(row, key=lambda package: means[package])):
            shift = COLUMN / 4 * (1 if level % 2 else -1)  # so that long arrows pass beside boxes
            x = (widest - len(row)) * COLUMN / 2 + (column + 0.75) * COLUMN + shift
            centre[package] = (x, (top - level) * FLOOR + FLOOR / 2)
    return centre


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def svg() -> str:
    """Return the picture."""
    down, up = read_imports()
    arrows = not_implied(down)
    centre = positions(floors(down), arrows)
    width = max(x for x, _ in centre.values()) + COLUMN / 2
    height = max(y for _, y in centre.values()) + FLOOR / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            'font-family="sans-serif" font-size="14">',
            "<title>Packages of softcloze and their imports</title>",
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
            "<defs>",
            *(_head(name, colour) for name, colour in (("down", INK), ("up", FORWARD))),
            "</defs>",
            *_arrows(arrows, up, centre),
            *_boxes(centre),
            "</svg>\n",
        ]
    )


def _head(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'
    )


def _arrows(arrows: Arrows, up: set[tuple[str, str]], centre: dict[str, tuple[float, float]]) -> Iterator[str]:
    for package, imported in arrows.items():
        for other in sorted(imported):
            (x, y), (to_x, to_y) = centre[package], centre[other]
            y, to_y = y + HEIGHT / 2, to_y - HEIGHT / 2
            bend = (to_y - y) / 2
            yield (
                f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}" '
                f'fill="none" stroke="{INK}" stroke-width="1.2" marker-end="url(#down)"/>'
            )
    for package, other in sorted(up):
        (x, y), (to_x, to_y) = centre[package], centre[other]
        x, to_x = x + WIDTH / 2, to_x + WIDTH / 2
        side = max(x, to_x) + COLUMN / 3
        yield (
            f'<path d="M{x:.0f} {y:.0f}C{side:.0f} {y:.0f} {side:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}" '
            f'fill="none" stroke="{FORWARD}" stroke-width="1.2" stroke-dasharray="5 3" marker-end="url(#up)"/>'
        )


def _boxes(centre: dict[str, tuple[float, float]]) -> Iterator[str]:
    for package, (x, y) in centre.items():
        yield (
            f'<rect x="{x - WIDTH / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
            f'fill="{PAPER}" stroke="{INK}"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle" fill="{INK}">{package}</text>'
        )


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
