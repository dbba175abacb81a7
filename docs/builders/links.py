"""Looks through a built site: links inside it lead to a file and a place in it, and nothing is
fetched from elsewhere.

    python docs/builders/links.py docs/_build/html
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["faults"]

#: Elements whose address the browser fetches without being asked.
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}


class _Page(HTMLParser):
    """Addresses that a page points to or fetches, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.places: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[k] for k in ("id", "name") if k in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (key := _FETCHED.get(tag)) and key in given and given.get("rel") != "canonical":
            self.fetched.append(given[key])


def faults(site: Path) -> Iterator[str]:
    """What is wrong with the pages below `site`, in words."""
    pages = {p.resolve(): _Page(p.read_text(encoding="utf-8")) for p in site.rglob("*.html")}
    if not pages:
        yield f"{site} holds no page"
    for path, page in pages.items():
        if "_modules" in path.parts:
            continue  # viewcode leads back to where a name is defined, not where it is documented
        for address in page.fetched:
            if urlsplit(address).netloc:
                yield f"{path.name} fetches {address}"
        for address in (*page.links, *page.fetched):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{path.name} leads to {address}, which does not exist"
            elif target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{path.name} leads to {address}, where there is no such place"


def main() -> int:
    """Print every fault; 1 if there is one."""
    found = sorted(set(faults(Path(sys.argv[1]))))
    print(*found, sep="\n")
    print(f"{len(found)} faults in the links of {sys.argv[1]}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
