"""Docstrings that share parts with others."""

import inspect
from textwrap import indent


def fill_in(cls, **parts):
    """Put each part where the docstring of the class has its name in braces."""
    document = inspect.cleandoc(cls.__doc__ or "")  # python -OO has none
    for name, text in parts.items():
        document = document.replace("{" + name + "}", text.strip())
    cls.__doc__ = indent(document, "    ").strip() + "\n"
    return cls
