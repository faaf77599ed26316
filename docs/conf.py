"""Sphinx configuration.

The build needs no network. With ``SCX_INTERSPHINX=1``, it links to the documentation of other
packages.
"""

import os
from importlib.metadata import metadata
from inspect import unwrap

from sphinx.application import Sphinx
from sphinx.ext.napoleon import NumpyDocstring

from scx._compat import MASK_VAR_DEFAULT

project = "scx"
author = metadata("scx-tools")["Author"]
release = version = metadata("scx-tools")["Version"]
copyright = author

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",  # after napoleon
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "jupyter_execute", "methods/_*", "benchmarks/_*", "new_cells/_*", "**/.ipynb_checkpoints"]

# Docstrings have numpydoc sections; types come from the signatures.
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = False  # signatures of methods are generated, so there is no source
napoleon_google_docstring = False
napoleon_use_rtype = False
typehints_document_rtype_none = False
always_use_bars_union = True

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Tutorials are MyST notebooks without outputs. Every build runs them in a temporary folder.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
os.environ.pop("MPLBACKEND", None)  # only the kernel's own backend puts figures into pages
nb_output_stderr = "remove"  # warnings of libraries about the build machine

if os.environ.get("SCX_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "lightning": ("https://lightning.ai/docs/pytorch/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "python": ("https://docs.python.org/3/", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "scvi": ("https://docs.scvi-tools.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }

html_theme = "sphinx_book_theme"
html_title = "scx"
html_show_sourcelink = False
html_static_path = ["_static"]
html_logo = "_static/logo.png"
html_favicon = "_static/logo.png"
html_css_files = ["custom.css"]
html_theme_options = {"show_toc_level": 2, "use_download_button": False, "use_fullscreen_button": False}

FROM_SCVI = {"history", "load", "save"}
"""Members that the model pages show of scvi-tools; its own documentation covers the others."""


def skip_member(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Skip inherited members, except those that scx defines or that :data:`FROM_SCVI` lists."""
    function = unwrap(getattr(obj, "fget", None) or obj)
    module = getattr(function, "__module__", None) or ""
    return None if skip or module.split(".")[0] == "scx" or name in FROM_SCVI else True


def split_shared_parameters(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Split every entry ``a, b`` into one entry per parameter, so that each gets its type.

    The first entry keeps the description; the others refer to it.
    """
    section = [i for i, line in enumerate(lines) if line == "Parameters" and lines[i + 1 : i + 2] == ["----------"]]
    if not section:
        return
    at = section[0] + 2
    while at < len(lines) and not (lines[at] and set(lines[at]) == {"-"}):
        names = lines[at].split(", ")
        if len(names) > 1 and all(entry.isidentifier() for entry in names):
            end = at + 1
            while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
                end += 1
            first, *others = names
            lines[end:end] = [line for entry in others for line in (entry, f"    See `{first}`.")]
            lines[at] = first
            at = end + 2 * len(others)
        else:
            at += 1


def parse_returns(self: NumpyDocstring, section: str) -> list[str]:
    """Keep the section as plain text: a sentence, then a definition list of the written fields."""
    lines = self._dedent(self._consume_to_next_section())
    if lines[:1] == [":"]:  # added by sphinx_autodoc_typehints
        del lines[0]
    return [*self._format_block(":returns: ", lines), ""]


class Marker:
    """Placeholder for a default value that the parameter's description explains."""

    def __repr__(self) -> str:
        return "..."


def show_default(app: Sphinx, obj: object, is_bound_method: bool) -> None:
    """Show a marker default as ``...``; its name in the source is of no use to a reader."""
    signature = getattr(obj, "__signature__", None)
    if signature is None:
        return
    obj.__signature__ = signature.replace(
        parameters=[
            parameter.replace(default=Marker()) if parameter.default is MASK_VAR_DEFAULT else parameter
            for parameter in signature.parameters.values()
        ]
    )


NumpyDocstring._parse_returns_section = parse_returns


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", split_shared_parameters, priority=400)  # before napoleon
    app.connect("autodoc-before-process-signature", show_default, priority=600)  # after other changes of signatures
