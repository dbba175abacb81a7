"""One result, or several, as one offline HTML page: curves, moving modes, and what to trust.

The page is one file without any request to a network, which its content policy forbids. What it
shows is a record, plain JSON, that :func:`page_record` makes of what is there; every part of a
:class:`PageResult` may be missing.
"""

from __future__ import annotations

from painn_ase.page.record import page_record
from painn_ase.page.render import Page
from painn_ase.page.result import PageLevel, PageLevels, PageResult, PageRun

__all__ = ["Page", "PageLevel", "PageLevels", "PageResult", "PageRun", "page_record"]
