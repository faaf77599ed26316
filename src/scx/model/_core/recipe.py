"""Configurations: every choice that turns a method into a run."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from textwrap import indent
from typing import Annotated, Any, ClassVar, Literal

import pandas as pd

from scx._config import BatchSize, Count, LearningRate, Positive, Range, Share
from scx._docs import field_docs, parameter_docs


@dataclass(frozen=True, kw_only=True)
class ModuleConfig:
    """Network and losses: the fields that all methods share."""

    max_value: Positive | None
    """Clipping of z-scores; None does not clip."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Schedule of training: the fields that all methods share."""

    arguments_of_train: ClassVar[tuple[str, ...]] = ("max_epochs", "batch_size")
    """Fields that are arguments of ``train`` themselves."""

    max_epochs: Count
    """Passes through the cells."""
    min_steps: Annotated[int, Range(0)] = 0
    """Least number of steps. With few cells, epochs are added until training takes this many."""
    batch_size: BatchSize
    """Cells per step."""
    lr: LearningRate
    """Learning rate; at the start of each phase if a schedule lowers it."""
    weight_decay: Share = 0.0
    """L2 penalty of Adam."""
    schedule: Literal["constant", "cosine"] = "constant"
    """``"constant"``, or ``"cosine"`` from the learning rate to 0."""
    schedule_epochs: Count | None = None
    """Epochs after which the cosine reaches 0; None for the epochs of the training."""
    settle_batch_norm: bool = False
    """Whether the statistics of batch normalisation are estimated again after training, on cells
    as they are embedded: without masks and noise."""

    @classmethod
    def plan_options(cls) -> tuple[str, ...]:
        """Return the names of the fields that users pass as `plan_kwargs`."""
        return tuple(field.name for field in fields(cls) if field.name not in cls.arguments_of_train)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Genes, network, training and clustering of a run."""

    n_top_genes: int
    """Number of highly variable genes."""
    min_cells: int | float
    """Genes with counts in fewer cells are dropped; a float is a fraction of the cells."""
    use_flagged_genes: bool
    """Whether genes that are flagged in ``var["highly_variable"]`` replace a selection."""
    cluster: Literal["kmeans", "gmm", "ward", "spectral", "leiden"] = "kmeans"
    """Algorithm that clusters the embedding, as in :func:`scx.tl.cluster`."""
    module: ModuleConfig
    """Network and losses."""
    training: TrainingConfig
    """Schedule."""

    def settings(self) -> dict[str, Any]:
        """Return all settings by name, flat."""
        settings = asdict(self)
        parts: list[dict[str, Any]] = [settings.pop("module"), settings.pop("training")]
        return settings | parts[0] | parts[1]

    def meanings(self) -> dict[str, str]:
        """Return the first sentence of the documentation of each setting, as plain text."""
        docs = {**field_docs(Recipe), **field_docs(type(self.module)), **field_docs(type(self.training))}
        plain = {name: re.sub(r":\w+:`~?([^`]*)`|`+", r"\1", " ".join(doc.split())) for name, doc in docs.items()}
        return {name: re.split(r"\. (?=[A-Z`])", doc)[0].rstrip(".") for name, doc in plain.items()}


MODEL_PARAMETERS = """\
adata
    AnnData set up with :meth:`setup_anndata`.
registry
    Registry of a saved model, in place of `adata`.
recipe
    ``"default"`` or ``"paper"``: the defaults of all other arguments and of :meth:`train`.
**module_kwargs
    Options of network and losses:

"""
"""Parameters that all models share."""


def model_paragraphs(recipe: Recipe) -> dict[str, str]:
    """Return the paragraphs ``{parameters}`` and ``{training}`` of the docstring of a model."""
    module, training = field_docs(type(recipe.module)), field_docs(type(recipe.training))
    options = {name: training[name] for name in recipe.training.plan_options() if name in training}
    # As literals, because reStructuredText takes `lambda_` for a link.
    network, schedule = (
        parameter_docs({f"``{name}``": doc for name, doc in docs.items()}) for docs in (module, options)
    )
    return {
        "parameters": MODEL_PARAMETERS + indent(network, "    "),
        "training": f"Options of training, for `plan_kwargs` of :meth:`train`:\n\n{schedule}",
    }


def recipe_table(recipes: Mapping[str, Recipe]) -> pd.DataFrame:
    """Return the settings of recipes side by side, settings × (meaning and recipes)."""
    meanings = next(iter(recipes.values())).meanings()
    table = pd.DataFrame({name: recipe.settings() for name, recipe in recipes.items()}, dtype=object).map(str)
    table.insert(0, "meaning", [meanings.get(name, "") for name in table.index])
    return table
