"""The arms: what is compared. `parse` turns a name into an `Arm`.

======================================  =========================================================
``contrastive:default``                 a method of scx with a recipe
``cicl:default:cluster_weight=0``       … with changes, separated by commas: arguments of the
                                        function, of the model, or of the training plan
``ensemble``, ``ensemble:n_jobs=1``     `scx.tl.ensemble`, with changes
``pca20:kmeans``, ``scvi:leiden``, …    an everyday recipe or a peer: pca with any number of
                                        components, scvi or drvi; clustered by kmeans, leiden,
                                        gap or silhouette (both choose k of kmeans)
``pca50:logistic``, ``pca50:knn``       classifiers, which need labels of some cells
``scanvi``                              SCANVI started from SCVI, needs labels of some cells
======================================  =========================================================

Peers have the defaults of their packages, and see scanpy's standard workflow: 2,000 highly
variable genes, log-normalised and scaled for PCA, counts for scvi-tools. Leiden uses 15
neighbours. If k is given, its resolution is searched; if not, it is 1.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from inspect import signature
from typing import Any

import anndata as ad
import numpy as np

GIVEN, CHOSEN, LABELS = "given", "chosen", "labels"
"""Settings: the number of clusters is given; the arm chooses it; types of some cells are given."""
MODELS = {"scvi": ("scvi.model", "SCVI"), "drvi": ("scvi.external", "DRVI")}
LARGEST, SAMPLE = 30, 2000
"""Largest k that the gap statistic and the silhouette try, and the cells that they see."""


@dataclass(frozen=True)
class Found:
    """What one run found: cluster, confidence and predicted type of each cell; None if it has none."""

    clusters: np.ndarray
    confidence: np.ndarray | None = None
    prediction: np.ndarray | None = None


@dataclass(frozen=True)
class Arm:
    """What is compared.

    `fit` is a function of raw counts, the number of clusters or None, and a seed. If types of some
    cells are given, they are in ``obs["given"]``. A row is current if it was made by the same
    version of `package`.
    """

    name: str
    package: str
    settings: frozenset[str]
    fit: Callable[[ad.AnnData, int | None, int], Found]


def parse(name: str) -> Arm:
    """Return the arm of this name. Fails without loading torch if there is none."""
    from scx._methods import METHODS

    family, _, rest = name.partition(":")
    if family in METHODS:
        recipe, _, changes = rest.partition(":")
        if recipe not in ("default", "paper"):
            raise SystemExit(f"Unknown recipe in {name!r}: write {family}:default or {family}:paper.")
        settings = {GIVEN, CHOSEN} | ({LABELS} if "labels" in METHODS[family].obs_fields else set())
        return Arm(name, "scx", frozenset(settings), partial(method, family, recipe, parse_changes(name, changes)))
    if family == "ensemble":
        return Arm(name, "scx", frozenset({GIVEN, CHOSEN}), partial(ensemble, parse_changes(name, rest)))
    if name == "scanvi":
        return Arm(name, "scvi_tools", frozenset({LABELS}), scanvi)
    if family in MODELS or re.fullmatch(r"pca\d+", family):
        package = "scvi_tools" if family in MODELS else "scanpy"
        embedding = partial(latent, family) if family in MODELS else partial(components, int(family[3:]))
        if rest in CLUSTERINGS:
            settings, cluster = CLUSTERINGS[rest]
            return Arm(
                name, package, frozenset(settings), lambda a, k, seed: Found(cluster(embedding(a, seed), k, seed))
            )
        if rest in CLASSIFIERS:
            classify = CLASSIFIERS[rest]
            return Arm(name, package, frozenset({LABELS}), lambda a, k, seed: classify(a, embedding(a, seed), seed))
        known = ", ".join([*CLUSTERINGS, *CLASSIFIERS])
        raise SystemExit(f"Unknown arm {name!r}: after {family}: comes one of {known}.")
    known = ", ".join([*METHODS, "ensemble", "scanvi", *MODELS, "pca20"])
    raise SystemExit(f"Unknown arm {name!r}: it starts with one of {known}. See benchmarks/arms.py.")


def parse_changes(name: str, text: str) -> dict[str, Any]:
    """Return the values of ``lr=0.1,cluster='leiden'``."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args
        return {str(pair.arg): ast.literal_eval(pair.value) for pair in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise SystemExit(f"Cannot read the changes in {name!r}: write name=value,name=value.") from None


# --- scx


def method(family: str, recipe: str, changes: dict[str, Any], adata: ad.AnnData, k: int | None, seed: int) -> Found:
    """Run a method of scx; each change goes to the function, the training plan or the model."""
    from scx._methods import METHODS

    row = METHODS[family]
    schedule = asdict(row.model_cls.recipes[recipe].training)
    own = {key: value for key, value in changes.items() if key in signature(row.function).parameters}
    plan = {key: value for key, value in changes.items() if key in schedule and key not in own}
    model = {key: value for key, value in changes.items() if key not in own and key not in plan}
    if "given" in adata.obs:
        own["labels_key"] = "given"
    kwargs = {"model_kwargs": model, "train_kwargs": {"plan_kwargs": plan}} | own
    return annotated(row.function(adata, k, recipe=recipe, rng=seed, key_added="found", copy=True, **kwargs))


def ensemble(changes: dict[str, Any], adata: ad.AnnData, k: int | None, seed: int) -> Found:
    import scx

    return annotated(scx.tl.ensemble(adata, k, rng=seed, key_added="found", copy=True, **changes))


def annotated(adata: ad.AnnData) -> Found:
    """Read what scx wrote under the key ``found``."""
    obs = adata.obs
    confidence = next((obs[key].to_numpy() for key in ("found_confidence", "found_agreement") if key in obs), None)
    prediction = obs["found_prediction"].to_numpy().astype(str) if "found_prediction" in obs else None
    return Found(obs["found"].to_numpy().astype(str), confidence, prediction)


# --- everyday recipes and peers


def variable_genes(adata: ad.AnnData) -> ad.AnnData:
    """Scanpy's standard workflow up to 2,000 highly variable genes; counts are in a layer."""
    import scanpy as sc

    adata = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=min(2000, adata.n_vars))
    return adata[:, adata.var["highly_variable"]].copy()


def components(n_comps: int, adata: ad.AnnData, seed: int) -> np.ndarray:
    """Scanpy's standard workflow up to the principal components."""
    import scanpy as sc

    adata = variable_genes(adata)
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=min(n_comps, min(adata.shape) - 1))
    return adata.obsm["X_pca"]


def train(family: str, adata: ad.AnnData) -> Any:
    """A model of scvi-tools as it comes."""
    from importlib import import_module

    module, name = MODELS[family]
    model_cls = getattr(import_module(module), name)
    model_cls.setup_anndata(adata, layer="counts")
    model = model_cls(adata)
    model.train(enable_progress_bar=False)
    return model


def latent(family: str, adata: ad.AnnData, seed: int) -> np.ndarray:
    from scx._rng import global_seed

    with global_seed(seed):
        return train(family, variable_genes(adata)).get_latent_representation()


def kmeans(embedding: np.ndarray, k: int | None, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=10, random_state=seed).fit_predict(embedding)


def leiden(embedding: np.ndarray, k: int | None, seed: int) -> np.ndarray:
    """Leiden at resolution 1, or at the resolution that gives the number of clusters closest to k."""
    import scanpy as sc

    graph = ad.AnnData(obsm={"X": embedding})
    sc.pp.neighbors(graph, use_rep="X", n_neighbors=15, random_state=seed)

    def at(resolution: float) -> np.ndarray:
        sc.tl.leiden(graph, resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False)
        return graph.obs["leiden"].to_numpy().astype(int)

    if k is None:
        return at(1.0)
    low, high, best = 1e-3, 20.0, at(1.0)
    for _ in range(30):
        middle = (low * high) ** 0.5
        found = at(middle)
        if abs(found.max() + 1 - k) < abs(best.max() + 1 - k):
            best = found
        if best.max() + 1 == k:
            break
        low, high = (middle, high) if found.max() + 1 < k else (low, middle)
    return best


def sampled(embedding: np.ndarray, seed: int) -> tuple[np.ndarray, range]:
    """Return some cells, and the numbers of clusters to try on them."""
    cells = embedding[np.random.default_rng(seed).permutation(len(embedding))[:SAMPLE]]
    return cells, range(2, min(LARGEST, len(cells) // 10) + 1)


def silhouette(embedding: np.ndarray, k: int | None, seed: int) -> np.ndarray:
    """KMeans at the number of clusters with the highest silhouette."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    cells, tried = sampled(embedding, seed)
    scores = [silhouette_score(cells, KMeans(n, n_init=3, random_state=seed).fit_predict(cells)) for n in tried]
    return kmeans(embedding, tried[int(np.argmax(scores))], seed)


def gap(embedding: np.ndarray, k: int | None, seed: int, n_references: int = 5) -> np.ndarray:
    """KMeans at the number of clusters of the gap statistic (Tibshirani, Walther & Hastie, 2001).

    References are uniform along the principal axes.
    """
    from sklearn.cluster import KMeans

    cells, tried = sampled(embedding, seed)
    rng = np.random.default_rng(seed)
    centred = cells - cells.mean(axis=0)
    rotated = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    references = rng.uniform(rotated.min(axis=0), rotated.max(axis=0), size=(n_references, *rotated.shape))

    def log_inertia(points: np.ndarray, n: int) -> float:
        return float(np.log(KMeans(n, n_init=1, random_state=seed).fit(points).inertia_))

    previous, chosen = -np.inf, tried[-1]
    for n in tried:
        reference = np.array([log_inertia(points, n) for points in references])
        value = reference.mean() - log_inertia(rotated, n)
        if previous >= value - reference.std() * np.sqrt(1 + 1 / n_references):
            chosen = n - 1
            break
        previous = value
    return kmeans(embedding, chosen, seed)


CLUSTERINGS: dict[str, tuple[set[str], Callable[[np.ndarray, int | None, int], np.ndarray]]] = {
    "kmeans": ({GIVEN}, kmeans),
    "leiden": ({GIVEN, CHOSEN}, leiden),
    "gap": ({CHOSEN}, gap),
    "silhouette": ({CHOSEN}, silhouette),
}
"""By name: the settings that it serves; embedding, k, seed → cluster of each cell."""


# --- with types of some cells


def classify(make: Callable[[int], Any], adata: ad.AnnData, cells: np.ndarray, seed: int) -> Found:
    """Fit a classifier to the labelled cells; `make` is given their number."""
    from data import UNLABELED

    given = adata.obs["given"].to_numpy().astype(str)
    labeled = given != UNLABELED
    fitted = make(labeled.sum()).fit(cells[labeled], given[labeled])
    return most_probable(fitted.classes_, fitted.predict_proba(cells))


def logistic(n_labeled: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def knn(n_labeled: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(min(5, n_labeled), weights="distance")


CLASSIFIERS = {"logistic": partial(classify, logistic), "knn": partial(classify, knn)}


def scanvi(adata: ad.AnnData, k: int | None, seed: int) -> Found:
    """SCANVI as it comes, from an SCVI as it comes."""
    from scvi.model import SCANVI

    from data import UNLABELED
    from scx._rng import global_seed

    genes = variable_genes(adata)
    with global_seed(seed):
        model = SCANVI.from_scvi_model(train("scvi", genes), UNLABELED, labels_key="given")
        model.train(enable_progress_bar=False)
        proba = model.predict(soft=True)
    return most_probable(proba.columns.to_numpy(), proba.to_numpy())


def most_probable(types: np.ndarray, proba: np.ndarray) -> Found:
    prediction = types[proba.argmax(axis=1)].astype(str)
    return Found(prediction, proba.max(axis=1), prediction)
