"""HTML, parsed to the text that a browser shows."""

import re
from html.parser import HTMLParser

BLOCKS = {"div", "h1", "h2", "p", "tr", "li", "title", "style"}


class Page(HTMLParser):
    """The tags and attributes of a page, and its text: one line per block, table columns separated by bars."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(html)
        self.close()

    @property
    def lines(self):
        return [line.strip() for line in self.text.splitlines() if line.strip()]

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in BLOCKS:
            self.text += "\n"
        elif tag in ("td", "th"):
            self.text += "| "

    def handle_endtag(self, tag):
        if tag in BLOCKS:
            self.text += "\n"

    def handle_data(self, data):
        self.text += data


def assert_complete(html):
    """A page needs no script and no other file, and what it refers to is on it, once."""
    assert not {"script", "link", "iframe", "object", "form", "img"} & Page(html).tags
    assert "default-src 'none'" in html and "@import" not in html
    assert "url(" not in re.sub(r"url\(#[\w.-]+\)", "", html)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    referred = {name for names in re.findall(r'aria-labelledby="([^"]+)"', html) for name in names.split()}
    assert {*referred, *re.findall(r'href="#([^"]+)"', html)} <= set(ids)
