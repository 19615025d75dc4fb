"""README and docs: their tables come from the committed result files, the example runs."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_tables_come_from_the_result_files(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from results import PAGES, page_with_tables

    sys.modules.pop("results")
    for page in PAGES:
        text = (ROOT / page).read_text()
        assert page_with_tables(text) == text, page


@pytest.mark.slow
def test_example_runs(capsys):
    code = re.search(r"```python\n(.*?)```", README, flags=re.S)[1]
    namespace = {}
    exec(code, namespace)
    assert float(capsys.readouterr().out.split()[0]) > 0.2
    assert namespace["labels"].shape == (len(namespace["test"].data), 5)
