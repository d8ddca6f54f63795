"""Grammars in EBNF, as the documentation gives them: generate texts, and recognize them."""

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
        meanings: for each special sequence (between question marks), in order of its first use: a regular expression
            and examples that it matches.
    """

    def __init__(self, source, meanings):
        tokens = [*_TOKEN.finditer(source)]
        assert "".join(token[0] for token in tokens) == source
        self._tokens = [(token.lastgroup, token[0]) for token in tokens if token.lastgroup][::-1]
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

    def make(self, name, generator, between="", depth=20):
        """Generate a text of the rule, with `between` between its parts; rules nest to about `depth`."""
        return between.join(self._make(self.rules[name], generator, depth))

    def accepts(self, name, text):
        """Return whether `text` follows the rule."""
        return len(text) in self._ends(("name", name), text, 0, {})

    def _take(self):
        return self._tokens.pop()

    def _choice(self):
        sequences = [self._sequence()]
        while self._tokens[-1][1] == "|":
            self._take()
            sequences.append(self._sequence())
        return ("|", *sequences) if len(sequences) > 1 else sequences[0]

    def _sequence(self):
        parts = [self._part()]
        while self._tokens[-1][1] == ",":
            self._take()
            parts.append(self._part())
        return (",", *parts)

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

    def _make(self, tree, generator, depth):
        kind, *inside = tree
        match kind:
            case "text":
                return inside
            case "words":
                return [generator.choice(self.meanings[inside[0]][1])]
            case "name":
                return self._make(self.rules[inside[0]], generator, depth - 1)
            case "|":
                return self._make(generator.choice(inside) if depth > 0 else inside[0], generator, depth)
            case "," | "(":
                return [piece for part in inside for piece in self._make(part, generator, depth)]
        times = 0 if depth <= 0 else generator.choice((0, 1) if kind == "[" else (0, 0, 0, 1, 2))
        return [piece for _ in range(times) for piece in self._make(inside[0], generator, depth)]

    def _ends(self, tree, text, start, known):
        """Return the possible ends of a part of `text` that begins at `start` and follows `tree`."""
        if (tree, start) in known:
            return known[tree, start]
        known[tree, start] = ends = set()
        kind, *inside = tree
        match kind:
            case "text":
                ends |= {start + len(inside[0])} if text.startswith(inside[0], start) else set()
            case "words":
                word = re.compile(self.meanings[inside[0]][0], re.DOTALL).match(text, start)
                ends |= {word.end()} if word else set()
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
