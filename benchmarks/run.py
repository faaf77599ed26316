"""Arms × datasets × seeds, each run in a process of its own; a row of scores for each.

    python benchmarks/run.py --arms contrastive:default pca20:leiden
    python benchmarks/run.py --arms infovae:default pca20:leiden --k chosen
    python benchmarks/run.py --arms semiaae:default pca50:logistic scanvi --labels 0.2 0.05 0.01
    python benchmarks/run.py --arms contrastive:default --datasets pollen --seeds 0 --redo contrastive:default

benchmarks/arms.py lists the arms, benchmarks/data.py the datasets. Rows are appended to --out as
they finish. A row is not made again if the file has it from the same version of the package that
its arm belongs to; --any-version accepts every version, --redo NAME accepts none for these arms.
Several programs may write to one file at once. ``tables.py`` uses the last row of each run.

Processes are forked from one that has loaded the libraries and compiled their code, which would
take most of the time of a quick run.

Columns of a row: `k_given`, whether the arm was told the number of types; `labels`, how many
types of cells it was told, see `data.give_labels`; scores as in `scx.metrics.clustering_report`.
With labels, scores are of the predicted types of cells without a label, and `acc` and `macro_f1`
are those of a classifier. `wrong_low` and `wrong_other` are the share of cells that are not of the
commonest type of their cluster, in the tenth with the lowest confidence and among the others;
`ece` is the calibration error of predictions. `seconds` are CPU time, child processes included,
without imports. `memory_mb` is the peak of a process beyond what it held before.
"""

import argparse
import ast
import csv
import fcntl
import hashlib
import multiprocessing
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from arms import CHOSEN, GIVEN, LABELS, Found, parse
from data import FOLDER, UNLABELED, datasets, give_labels, read

OUT = Path(__file__).parent / "results.csv"
KEY = ["dataset", "arm", "k_given", "labels", "seed"]
SCORES = ["ari", "nmi", "nmi_max", "acc", "macro_f1", "wrong_low", "wrong_other", "ece"]
VERSIONS = ["scx", "scvi_tools", "scanpy", "torch"]
COLUMNS = [*KEY, "n_types", "n_clusters", *SCORES, "seconds", "memory_mb", *VERSIONS]

FORKED = multiprocessing.get_context("forkserver")
"""Where processes come from: a server, whose threads and memory are not those of this program."""

type Task = dict[str, Any]
"""What a row is about: its `KEY`."""


# --- which rows


def code_version() -> str:
    """Return the version of scx and a fingerprint of its code, without comments, plots and metrics."""
    folder = Path(str(find_spec("scx").origin)).parent  # type: ignore[union-attr]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(("pl/", "metrics/", "datasets/")):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                if isinstance(body, list):
                    node.body = [part for part in body if not is_text(part)]  # type: ignore[attr-defined]
            digest.update(f"{name}\n{ast.unparse(tree)}\n".encode())
    return f"{version('scx-tools')}+{digest.hexdigest()[:10]}"


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def versions() -> dict[str, str]:
    return {"scx": code_version()} | {name: version(name.replace("_", "-")) for name in VERSIONS[1:]}


def tasks(args: argparse.Namespace) -> Iterator[Task]:
    """Yield what is asked for, and the arm can do."""
    settings = [(k == GIVEN, "", k) for k in args.k] + [(False, labels, LABELS) for labels in args.labels]
    arms = [parse(name) for name in args.arms]
    for arm in arms:
        if not any(needed in arm.settings for *_, needed in settings):
            ways = {GIVEN: "--k given", CHOSEN: "--k chosen", LABELS: "--labels 0.2"}
            raise SystemExit(f"{arm.name} needs {' or '.join(ways[s] for s in sorted(arm.settings))}.")
    for seed in args.seeds:
        for dataset in args.datasets:
            for arm in arms:
                for k_given, labels, needed in settings:
                    if needed in arm.settings:
                        yield dict(zip(KEY, (dataset, arm.name, k_given, labels, seed), strict=True))


def identity(row: Task) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)


def rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def missing(wanted: Iterable[Task], path: Path, current: dict[str, str] | None) -> list[Task]:
    """Return those of which the file has no row, or none from the `current` versions."""
    found = defaultdict(list)
    for row in rows(path):
        found[identity(row)].append(row)

    def is_missing(task: Task) -> bool:
        package = parse(task["arm"]).package
        return not any(current is None or row[package] == current[package] for row in found[identity(task)])

    return [task for task in wanted if is_missing(task)]


def append(row: Task, path: Path, columns: list[str] = COLUMNS) -> None:
    """Add a row to a file that others may be writing to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        header = file.readline().strip()
        if header and header.split(",") != columns:
            raise SystemExit(f"{path} has other columns than this program writes. Choose another --out.")
        file.seek(0, os.SEEK_END)
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        if not header:
            writer.writeheader()
        writer.writerow(row)


# --- one row


def measure(task: Task) -> Task:
    """Run an arm on a dataset and score what it finds."""
    import psutil
    import scanpy as sc

    warnings.simplefilter("ignore")
    sc.settings.verbosity = 0
    arm = parse(task["arm"])
    current = versions()
    adata, truth = read(task["dataset"])
    n_types = len(np.unique(truth))
    if task["labels"]:
        adata.obs["given"] = give_labels(truth, task["labels"], task["seed"])
    held, start = psutil.Process().memory_info().rss, cpu_seconds()
    found = arm.fit(adata, n_types if task["k_given"] else None, task["seed"])
    seconds = cpu_seconds() - start
    scored = adata.obs["given"].to_numpy() == UNLABELED if task["labels"] else np.ones(len(truth), dtype=bool)
    return {
        **task,
        "n_types": n_types,
        "n_clusters": len(np.unique(found.clusters)),
        **{name: f"{value:.4f}" for name, value in scores(truth, found, scored, bool(task["labels"])).items()},
        "seconds": f"{seconds:.1f}",
        "memory_mb": round(max(0, peak_memory() - held) / 1e6),
        **current,
    }


def cpu_seconds() -> float:
    """CPU time so far of this process and of all that it started, those that still run included."""
    import psutil

    this = psutil.Process()
    used = sum(this.cpu_times()[:4])
    return used + sum(sum(child.cpu_times()[:2]) for child in this.children(recursive=True))


def peak_memory() -> int:
    """Most memory in bytes that this process or one that it started has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def scores(truth: np.ndarray, found: Found, scored: np.ndarray, has_labels: bool) -> dict[str, float]:
    """Score what a run found on the cells `scored`; a score that does not apply is left out."""
    import anndata as ad
    import pandas as pd
    from sklearn.metrics import accuracy_score, f1_score

    import scx

    truth = truth[scored]
    clusters = found.clusters[scored]
    result: dict[str, float] = {}
    answer = clusters
    if has_labels:
        answer = found.prediction[scored]
        result |= {
            "acc": accuracy_score(truth, answer),
            "macro_f1": f1_score(truth, answer, average="macro", labels=np.unique(truth), zero_division=0),
            "ece": calibration_error(found.confidence[scored], answer == truth),
        }
    cells = ad.AnnData(obs=pd.DataFrame({"truth": truth, "answer": answer}, index=np.arange(len(truth)).astype(str)))
    report = scx.metrics.clustering_report(cells, "truth", "answer").loc["answer"]
    result = {name: report[name] for name in SCORES if name in report} | result
    if found.confidence is not None:
        wrong = answer != truth if has_labels else is_minority(truth, clusters)
        low = pd.Series(found.confidence[scored]).rank(method="first").to_numpy() <= len(truth) / 10
        result |= {"wrong_low": wrong[low].mean(), "wrong_other": wrong[~low].mean()}
    return result


def is_minority(truth: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Tell which cells are not of the commonest type of their cluster."""
    import pandas as pd

    commonest = pd.Series(truth).groupby(clusters).transform(lambda types: types.mode().iloc[0])
    return truth != commonest.to_numpy()


def calibration_error(confidence: np.ndarray, right: np.ndarray, n_bins: int = 10) -> float:
    """Expected calibration error: |accuracy − confidence| in bins of equal width, by their cells."""
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in np.unique(bins)]
    return float(sum(gaps) / len(right))


# --- all rows


def run(task: Task, path: Path, current: dict[str, str] | None, redo: bool = False) -> str | None:
    """Make a row in a process of its own, unless it exists or another program is at it; return an error."""
    name = hashlib.sha256("|".join([str(path.resolve()), *identity(task)]).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"scx-benchmark-{name}").open("w") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not redo and not missing([task], path, current):
            return None
        row = in_process(task)
        if isinstance(row, str):
            return f"{' '.join(identity(task))}: {row}"
        append(row, path)
    print(*identity(row), f"ari={row['ari']} n_clusters={row['n_clusters']} seconds={row['seconds']}", flush=True)
    return None


def in_process(task: Task) -> Task | str:
    """Make a row in a process of its own; return why there is none."""
    receiver, sender = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=send_row, args=(task, sender))
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
    try:
        row: Task | str = receiver.recv()
    except EOFError:
        row = "it sent nothing"
    process.join()
    return row if not process.exitcode else f"exit status {process.exitcode}\n{row}"


def send_row(task: Task, sender: Connection) -> None:
    """Send a row, or what went wrong."""
    try:
        sender.send(measure(task))
    except Exception:  # noqa: BLE001  # the program reports it and goes on
        sender.send(traceback.format_exc()[-2000:])
        raise SystemExit(1) from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=["pca20:leiden", "pca50:kmeans", "contrastive:default"])
    parser.add_argument("--datasets", nargs="+", default=datasets())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--k",
        nargs="*",
        choices=[GIVEN, CHOSEN],
        help="is the number of types given? Default: given, but not with --labels",
    )
    parser.add_argument("--labels", nargs="+", default=[], help="share, or number, of cells of each type given")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--redo", nargs="+", default=[], metavar="ARM", help="make the rows of these arms again")
    parser.add_argument("--any-version", action="store_true", help="keep rows of other versions")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    if args.k is None:
        args.k = [] if args.labels else [GIVEN]
    if not args.datasets:
        parser.exit(1, f"No datasets in {FOLDER}: set SCX_DATA to the folder of the labelled h5ad files.\n")
    current = None if args.any_version else versions()
    redo = set(args.redo)
    wanted = list(tasks(args))
    todo = [task for task in wanted if task["arm"] in redo] + missing(
        (task for task in wanted if task["arm"] not in redo), args.out, current
    )
    print(f"{len(todo)} rows to make", flush=True)
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    one_thread = {
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "NUMBA_THREADING_LAYER": "workqueue",
    }  # may be forked
    os.environ |= one_thread | {"MPLBACKEND": "Agg", "PYTHONPATH": path}
    FORKED.set_forkserver_preload(["warm"])
    with ThreadPoolExecutor(args.jobs) as pool:
        errors = [e for e in pool.map(lambda t: run(t, args.out, current, t["arm"] in redo), todo) if e]
    print(*errors, sep="\n", file=sys.stderr)
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main())
