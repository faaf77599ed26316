import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from hypothesis import Phase, settings

import scx
from scx._methods import METHODS, Method

settings.register_profile("scx", deadline=None)  # how long an example takes is no matter of tests
# for `make mutation`: few examples, and the first that fails is enough
settings.register_profile(
    "mutation", deadline=None, max_examples=15, phases=[Phase.explicit, Phase.generate], database=None
)
settings.register_profile(
    "fuzz", deadline=None
)  # for `make fuzz`: tests/robustness/test_properties.py runs 10,000 examples
settings.load_profile("scx")


@dataclass(frozen=True)
class Case:
    """A method of the registry, and what is needed to run it on any data, quickly."""

    method: Method
    fields: dict[str, Any] = field(default_factory=dict)
    n_clusters: int | None = 4
    quick: dict[str, Any] = field(default_factory=lambda: {"max_epochs": 2, "batch_size": 64, "n_top_genes": 100})

    def __str__(self) -> str:
        return " with ".join([self.name, *self.fields])

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def model(self) -> str:
        return self.method.model

    @property
    def function(self) -> Callable[..., Any]:
        return self.method.function

    @property
    def model_cls(self) -> Any:
        return self.method.model_cls

    def run(self, adata: ad.AnnData, *n_clusters: int | None, **kwargs: Any) -> ad.AnnData | None:
        return self.function(adata, *(n_clusters or [self.n_clusters]), **{**self.quick, **self.fields, **kwargs})

    def written(self, key: str) -> dict[str, set[str]]:
        """Return the names that one run writes under a key, by the attribute of the AnnData that holds them."""
        obs, obsm = {key, f"{key}_confidence"}, {f"X_{key}"}
        if "labels_key" in self.fields:
            obs, obsm = obs | {f"{key}_prediction"}, obsm | {f"{key}_proba"}
        return {"obs": obs, "obsm": obsm, "uns": {key}}


FIELD_ARGUMENTS = {"labels": {"labels_key": "some_labels"}}
"""Arguments with which tests have a method read a field of ``obs``."""


def field_arguments(method: Method) -> dict[str, Any]:
    """Return the arguments with which a method reads every field of ``obs`` that it can."""
    return {name: value for field in method.obs_fields for name, value in FIELD_ARGUMENTS[field].items()}


CASES = [Case(method) for method in METHODS.values()]
CASES_WITH_BATCHES = [Case(method, {"batch_key": "batch"}) for method in METHODS.values()]
"""Those of methods that do not know batches are skipped: only the model knows, and it is slow to import."""
# labels say how many clusters there are
CASES_WITH_FIELDS = [
    *CASES,
    *(Case(method, field_arguments(method), n_clusters=None) for method in METHODS.values() if method.obs_fields),
]
EVERY_CASE = [*CASES_WITH_FIELDS, *CASES_WITH_BATCHES]


def usable(case: Case) -> Case:
    """Return the case, or skip it if its method does not know batches."""
    if "batch_key" in case.fields and not case.model_cls.knows_batches:
        pytest.skip("the method does not know batches")
    return case


@pytest.fixture(params=CASES, ids=str)
def method(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sc.settings.verbosity = 0


@pytest.fixture(scope="session")
def _pbmc() -> ad.AnnData:
    adata = scx.datasets.pbmc68k_reduced()[:300].copy()
    labels = adata.obs["bulk_labels"].astype(str)
    is_labeled = labels.isin(["CD14+ Monocyte", "CD19+ B"]) & (np.arange(adata.n_obs) % 2 == 0)
    adata.obs["some_labels"] = labels.where(is_labeled, "Unknown")
    adata.obs["batch"] = np.arange(adata.n_obs) // 2 % 3
    return adata


@pytest.fixture
def pbmc(_pbmc: ad.AnnData) -> ad.AnnData:
    """300 real cells with raw counts, the types of some in ``obs["some_labels"]``, batches of one law in ``obs["batch"]``; fresh for every test."""
    return _pbmc.copy()


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], ad.AnnData]:
    """Read one of the labelled datasets of the folder SCX_DATA, or skip."""
    folder = Path(os.environ.get("SCX_DATA", "../shared/data"))

    def read(name: str) -> ad.AnnData:
        path = folder / f"{name}.h5ad"
        if not path.exists():
            pytest.skip(f"no {path}: set SCX_DATA to the folder of the labelled datasets")
        return ad.read_h5ad(path)

    return read
