"""The code on the pages of the site runs, block after block."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = [
    page
    for page in [*DOCS.glob("index.md"), *sorted(DOCS.glob("guide/*.md"))]
    if "```python" in page.read_text()
]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs(page):
    namespace = {}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.S | re.M):
        exec(compile(code, page.name, "exec"), namespace)
