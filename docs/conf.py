"""The documentation site; `make docs` builds it, with warnings as errors."""

import importlib
import os
import pkgutil
from pathlib import Path

import matplotlib
from docutils import nodes
from sphinx.errors import ConfigError

import sklsh

os.environ["TTY_COMPATIBLE"] = "0"  # examples print without colours, from a terminal too
matplotlib.use("Agg")

project = "sklsh"
author = "The sklsh developers"
copyright = author
version = release = sklsh.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
default_role = "literal"
smartquotes = False  # values such as "auto" are to be copied
nitpicky = True

# ---- Markdown ----

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

# Links that work where the files are read one by one, and the pages they lead to here.
LINKS = {
    "](../README.md#": "](/comparisons.md#",
    "](../../README.md#": "](/comparisons.md#",
    "](../sklsh/sketch/_race.py)": "](#sklsh.sketch.RACE)",
}

# ---- reference ----

autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the template of classes lists them
# Methods of scikit-learn's base classes whose docstrings lead to pages of its own site.
LEFT_OUT = "get_metadata_routing", "set_output"

# What stands in the references of others: where, by the first part of its name.
ELSEWHERE = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{}.html",
    "tokenize": "https://docs.python.org/3/library/{}.html",
    "accuracy_score": "https://scikit-learn.org/stable/modules/model_evaluation.html#accuracy-score",
    "r2_score": "https://scikit-learn.org/stable/modules/model_evaluation.html#r2-score",
}

# ---- gallery ----

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",  # genomes.py wants files
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "write_computation_times": False,
}

# ---- looks ----

html_theme = "pydata_sphinx_theme"
html_title = "sklsh"
html_static_path = ["_static"]
html_css_files = ["sklsh.css"]
html_sidebars = dict.fromkeys(  # pages without others below them
    ["index", "install", "which_estimator", "comparisons", "glossary", "contributing", "changelog"],
    [],
)
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def public_modules():
    """Names of sklsh and of the modules below it that have no underscore."""
    below = [m.name for m in pkgutil.iter_modules(sklsh.__path__) if not m.name.startswith("_")]
    return ["sklsh", *(f"sklsh.{name}" for name in below)]


def check_all_documented(app, config):
    """Raise if a public name stands in no module that the reference lists."""
    listed = (Path(app.srcdir) / "api" / "index.rst").read_text().split()
    modules = {name: importlib.import_module(name) for name in public_modules()}

    def names_of(module):
        return [name for name in module.__all__ if not name.startswith("__")]

    documented = {
        id(getattr(modules[name], public))
        for name in set(listed) & set(modules)
        for public in names_of(modules[name])
    }
    missing = [
        f"{name}.{public}"
        for name, module in modules.items()
        for public in names_of(module)
        if id(getattr(module, public)) not in documented
    ]
    if missing:
        raise ConfigError(f"docs/api/index.rst leaves out the modules of {missing}.")


def follow_links(app, docname, source):
    """Lead links between files to pages of the site."""
    for there, here in LINKS.items():
        source[0] = source[0].replace(there, here)


def link_elsewhere(app, env, node, content):
    """Link to what is documented by others."""
    name = node["reftarget"]
    address = ELSEWHERE.get(name.split(".")[0])
    if address is None:
        return None
    link = nodes.reference("", "", internal=False, refuri=address.format(name))
    link.append(content)
    return link


def skip_member(app, what, name, obj, skip, options):
    """Leave out methods whose docstrings lead to pages of scikit-learn's site."""
    routing = name.startswith("set_") and name.endswith("_request")
    return True if routing or name in LEFT_OUT else None


def setup(app):
    """Connect what is particular to this site."""
    app.connect("config-inited", check_all_documented)
    app.connect("source-read", follow_links)
    app.connect("missing-reference", link_elsewhere)
    app.connect("autodoc-skip-member", skip_member)
