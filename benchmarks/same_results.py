"""Compare the results of two commits bit by bit: every method and recipe, every clustering algorithm, one seed.

    python benchmarks/same_results.py BEFORE AFTER [H5AD]

Each commit is checked out into a temporary folder and runs in its own process, on data that come with the package or on
raw counts in a file, with types in ``obs["cell_type"]``. The exit status is 1 if anything differs. ``record NPZ [H5AD]``
writes the results of the importable scx to a file instead.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def cases() -> dict[str, dict[str, Any]]:
    """Return calls of the methods by name; recipes with their own epochs where these take seconds."""
    named: dict[str, dict[str, Any]] = {}
    for method in ("contrastive", "cicl", "infovae", "semiaae", "semiaae with labels"):
        options = {"labels_key": "some_labels"} if "labels" in method else {}
        named[f"{method}, default"] = {"n_clusters": 10, **options}
        named[f"{method}, paper"] = {"n_clusters": 10, "recipe": "paper", "max_epochs": 4, "batch_size": 100, **options}
    named["contrastive, k chosen, 3 runs"] = {"max_epochs": 3, "n_runs": 3}
    named["infovae, snapshots"] = {"n_clusters": 6, "max_epochs": 8, "train_kwargs": {"snapshot_epochs": [0, 2, 8]}}
    named["cicl, early stopping"] = {"n_clusters": 6, "max_epochs": 12, "train_kwargs": {"early_stopping": True}}
    named["semiaae with labels, k chosen, 2 runs"] = {"labels_key": "some_labels", "max_epochs": 4, "n_runs": 2}
    named["contrastive, Leiden"] = {"max_epochs": 3, "cluster": "leiden", "resolution": 0.7, "n_top_genes": 300}
    named["infovae, Gaussian"] = {
        "n_clusters": 5,
        "max_epochs": 4,
        "model_kwargs": {"likelihood": "gaussian", "kernel": "rbf"},
    }
    return named


def read(path: str | None) -> Any:
    """Return the data, with the types of a fifth of the cells in ``obs["some_labels"]``; one type has no label."""
    import anndata as ad

    import scx

    data = scx.datasets.pbmc68k_reduced() if path is None else ad.read_h5ad(path)
    types = data.obs["bulk_labels" if path is None else "cell_type"].astype(str)
    labels = types.where(np.random.default_rng(0).random(data.n_obs) >= 0.8, "Unknown")
    data.obs["some_labels"] = labels.where(types != types.value_counts().index[2], "Unknown").to_numpy()
    return data


def results(path: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what each call writes, flat."""
    import scanpy as sc

    import scx

    sc.settings.verbosity = 0
    data = read(path)
    for name, options in cases().items():
        adata = data.copy()
        method = name.split(",")[0].split()[0]
        if path is not None:
            options = {"max_epochs": 3, **options}
        getattr(scx.tl, method)(adata, **options)
        for i, algorithm in enumerate(("kmeans", "gmm", "ward", "spectral", "leiden") if "default" in name else ()):
            scx.tl.cluster(adata, 7, use_rep=f"X_{method}", method=algorithm, key_added=f"c{i}")
        if "default" in name:
            scx.tl.consensus(adata, ["c0", "c1", "c2", "c3"])
        yield name, flat(adata, set(data.obs) | set(data.obsm) | set(data.uns))


def flat(adata: Any, before: set[str]) -> dict[str, Any]:
    """Return every new array of `adata` by its place."""
    found: dict[str, Any] = {}

    def add(where: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, entry in value.items():
                add(f"{where}/{key}", entry)
        else:
            array = np.asarray(value)
            found[where] = array.astype(str) if array.dtype == object else array

    for where in ("obs", "obsm", "uns"):
        for key in getattr(adata, where):
            if key not in before:
                value = getattr(adata, where)[key]
                add(f"{where}/{key}", value.astype(str) if getattr(value, "dtype", None) == "category" else value)
    return found


def record(path: Path, data: str | None = None) -> None:
    """Write the results of the importable scx."""
    warnings.simplefilter("ignore")
    arrays = {f"{name}|{where}": value for name, written in results(data) for where, value in written.items()}
    np.savez_compressed(path, **arrays)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what differs, one line each."""
    lines = [f"only before: {name}" for name in before if name not in after]
    lines += [f"only after: {name}" for name in after if name not in before]
    for name in before:
        if name in after:
            old, new = before[name], after[name]
            same = old.dtype == new.dtype and old.shape == new.shape and old.tobytes() == new.tobytes()
            if not same:
                lines.append(f"differs: {name}: {old.ravel()[:3]} … / {new.ravel()[:3]} …")
    return lines


def main(before: str, after: str, *data: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        recorded = []
        for i, commit in enumerate((before, after)):
            tree, path = f"{folder}/{i}", Path(folder, f"{i}.npz")
            subprocess.run(["git", "worktree", "add", "--detach", "--quiet", tree, commit], check=True)
            try:
                subprocess.run(
                    [sys.executable, __file__, "record", path, *data],
                    check=True,
                    env={**os.environ, "PYTHONPATH": f"{tree}/src"},
                )
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", tree], check=True)
            recorded.append(dict(np.load(path)))
    lines = differences(*recorded)
    print(*lines, sep="\n")
    print(f"{len(recorded[0])} arrays of {len(cases())} calls compared: {len(lines)} differences")
    return bool(lines)


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(Path(sys.argv[2]), *sys.argv[3:])
    else:
        sys.exit(main(*sys.argv[1:]))
