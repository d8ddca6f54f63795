"""Grammars in EBNF, as a page of the documentation gives them: what they make, and what they accept."""

import re

_TOKEN = re.compile(
    r"""\s+|\(\*.*?\*\)|(?P<text>"[^"]*"|'[^']*')|(?P<words>\?.*?\?(?=\s))|(?P<name>\w+)|(?P<mark>[=|,;(){}\[\]])""",
    re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Grammar:
    """Rules by name; each is a tree of tuples such as ("{", ("name", "digit")).

    Args:
        source: the rules.
        meanings: of what is said between question marks, in the order in which it is said first: a regular
            expression, and examples of what that matches.
    """

    def __init__(self, source, meanings):
        tokens = [*_TOKEN.finditer(source)]
        assert "".join(found[0] for found in tokens) == source
        self._tokens = [(found.lastgroup, found[0]) for found in tokens if found.lastgroup][::-1]
        self.rules = {}
        while self._tokens:
            name = self._take()[1]
            assert self._take()[1] == "=" and name not in self.rules
            self.rules[name] = self._choice()
            assert self._take()[1] == ";"
        leaves = [*self._leaves(list(self.rules.values()))]
        names = {name for kind, name in leaves if kind == "name"}
        assert names <= self.rules.keys(), f"without a rule: {names - self.rules.keys()}"
        assert len(self.rules.keys() - names) <= 1, f"never used: {self.rules.keys() - names}"
        said = dict.fromkeys(words for kind, words in leaves if kind == "words")
        self.meanings = dict(zip(said, meanings, strict=True))

    def make(self, name, dice, between="", depth=20):
        """A text that the rule makes, with `between` between its parts; not much deeper than `depth` rules."""
        return between.join(self._make(self.rules[name], dice, depth))

    def accepts(self, name, text):
        """Whether the rule makes `text`."""
        return len(text) in self._ends(("name", name), text, 0, {})

    def _take(self):
        return self._tokens.pop()

    def _choice(self):
        found = [self._sequence()]
        while self._tokens[-1][1] == "|":
            self._take()
            found.append(self._sequence())
        return ("|", *found) if len(found) > 1 else found[0]

    def _sequence(self):
        found = [self._part()]
        while self._tokens[-1][1] == ",":
            self._take()
            found.append(self._part())
        return (",", *found)

    def _part(self):
        kind, token = self._take()
        if kind == "mark":
            inside = self._choice()
            assert self._take()[1] == _CLOSING[token]
            return (token, inside)
        return (kind, token if kind == "name" else token[1:-1].strip() if kind == "words" else token[1:-1])

    def _leaves(self, trees):
        for tree in trees:
            if tree[0] in ("text", "words", "name"):
                yield tree
            else:
                yield from self._leaves(tree[1:])

    def _make(self, tree, dice, depth):
        kind, *inside = tree
        match kind:
            case "text":
                return inside
            case "words":
                return [dice.choice(self.meanings[inside[0]][1])]
            case "name":
                return self._make(self.rules[inside[0]], dice, depth - 1)
            case "|":
                return self._make(dice.choice(inside) if depth > 0 else inside[0], dice, depth)
            case "," | "(":
                return [piece for part in inside for piece in self._make(part, dice, depth)]
        times = 0 if depth <= 0 else dice.choice((0, 1) if kind == "[" else (0, 0, 0, 1, 2))
        return [piece for _ in range(times) for piece in self._make(inside[0], dice, depth)]

    def _ends(self, tree, text, start, known):
        """Where a part of `text` may end that begins at `start` and is made by `tree`."""
        if (tree, start) in known:
            return known[tree, start]
        known[tree, start] = ends = set()
        kind, *inside = tree
        match kind:
            case "text":
                ends |= {start + len(inside[0])} if text.startswith(inside[0], start) else set()
            case "words":
                found = re.compile(self.meanings[inside[0]][0], re.DOTALL).match(text, start)
                ends |= {found.end()} if found else set()
            case "name":
                ends |= self._ends(self.rules[inside[0]], text, start, known)
            case "|":
                ends |= {end for part in inside for end in self._ends(part, text, start, known)}
            case "," | "(":
                reached = {start}
                for part in inside:
                    reached = {end for at in reached for end in self._ends(part, text, at, known)}
                ends |= reached
            case _:
                ends.add(start)
                new = {start}
                while new:
                    new = {end for at in new for end in self._ends(inside[0], text, at, known)} - ends
                    ends |= new
                    if kind == "[":
                        break
        return ends
