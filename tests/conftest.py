import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata as ad
import pytest
import scanpy as sc
from hypothesis import Phase, settings

import scx

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
class Method:
    """One row of the contract: what is needed to run a method on any data, quickly."""

    name: str
    model: str
    quick: dict[str, Any] = field(default_factory=lambda: {"max_epochs": 2, "batch_size": 64, "n_top_genes": 100})

    @property
    def function(self) -> Callable:
        return getattr(scx.tl, self.name)

    @property
    def model_cls(self) -> type:
        return getattr(scx.model, self.model)

    def run(self, adata: ad.AnnData, n_clusters: int | None = 4, **kwargs: Any) -> ad.AnnData | None:
        return self.function(adata, n_clusters, **{**self.quick, **kwargs})


METHODS = [
    Method("contrastive", "Contrastive"),
    Method("cicl", "CICL"),
    Method("infovae", "InfoVAE"),
    Method("semiaae", "SemiAAE"),
]


@pytest.fixture(params=METHODS, ids=lambda method: method.name)
def method(request: pytest.FixtureRequest) -> Method:
    return request.param


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sc.settings.verbosity = 0


@pytest.fixture(scope="session")
def _pbmc() -> ad.AnnData:
    return scx.datasets.pbmc68k_reduced()[:300].copy()


@pytest.fixture
def pbmc(_pbmc: ad.AnnData) -> ad.AnnData:
    """300 real cells with raw counts, fresh for every test."""
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
