"""Tables of the documentation about new cells, from mapping.csv alone.

python benchmarks/mapping_tables.py     # write docs/new_cells/
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mapping import KEY, OUT
from tables import markdown, number

DOCS = Path(__file__).parent.parent / "docs" / "new_cells"


def load(path: Path = OUT) -> pd.DataFrame:
    """Read the rows; of each run the last one."""
    rows = pd.read_csv(path, dtype={"part": str, "scx": str}).fillna({"part": ""})
    return rows.drop_duplicates(KEY, keep="last").reset_index(drop=True)


def percent(value: float) -> str:
    return number(100 * value, 1)


def split(rows: pd.DataFrame) -> str:
    """Write one line per arm: means over datasets of the means over seeds."""
    lines = []
    for arm, own in rows.groupby("arm"):
        mean = own.groupby("dataset").mean(numeric_only=True)
        gain = mean["mapped_ari"] - mean["trained_ari"]
        cells = [number(mean["trained_ari"].mean()), number(mean["mapped_ari"].mean()), number(gain.mean(), sign=True)]
        worst = f"{number(gain.min(), sign=True)} ({gain.idxmin()})"
        alarms = mean["false_alarms"]
        span = f"{percent(alarms.min())} to {percent(alarms.max())}"
        embedding = f"{own['difference'].max():.0e}"
        lines.append(
            [f"`{arm}`", str(len(mean)), str(len(own)), *cells, worst, embedding, percent(alarms.mean()), span]
        )
    header = ["arm", "datasets", "runs", "ARI, trained", "ARI, mapped", "difference", "worst", "embedding differs by"]
    return markdown([*header, "false alarms, %", "by dataset"], lines)


def novel(rows: pd.DataFrame) -> str:
    """Write the means over types left out, by arm and dataset."""
    lines = []
    datasets = sorted(rows["dataset"].unique())
    for arm, own in rows.groupby("arm"):
        mean = own.groupby("dataset").mean(numeric_only=True).reindex(datasets)
        line = [f"`{arm}`", *(number(value) for value in mean["auroc"]), number(mean["auroc"].mean(skipna=False))]
        line += [percent(mean["found"].mean()), percent(mean["false_alarms"].mean())]
        worst = own.groupby("part")["auroc"].mean()
        lines.append([*line, f"{number(worst.min())} ({worst.idxmin()})"])
    header = ["arm", *(f"AUROC, {name}" for name in datasets), "mean", "found, %", "false alarms, %", "worst type"]
    lines.sort(key=lambda line: line[len(datasets) + 1], reverse=True)
    return markdown(header, lines)


def samples(rows: pd.DataFrame) -> str:
    """Write the accuracy of types by arm: mean over all pairs, and over pairs of one or two conditions."""
    first, second = (rows["part"].str.split(" → ").str[place].str.rstrip("0123456789") for place in (0, 1))
    lines = []
    for arm, own in rows.assign(is_same=first == second).groupby("arm"):
        same, other = own[own["is_same"]], own[~own["is_same"]]
        line = [f"`{arm}`", str(own["part"].nunique())]
        line += [number(part[score].mean()) for part in (same, other) for score in ("acc", "macro_f1")]
        lines.append((own["acc"].mean(), [*line, *(percent(part["false_alarms"].mean()) for part in (same, other))]))
    header = ["arm", "pairs", "accuracy, same treatment", "macro F1", "accuracy, other treatment", "macro F1"]
    lines.sort(key=lambda pair: -pair[0])
    return markdown([*header, "unknown, same, %", "unknown, other, %"], [line for _, line in lines])


TABLES = {"split": split, "novel": novel, "samples": samples}


def pages(rows: pd.DataFrame) -> dict[str, str]:
    """Return the text of every generated file by its name."""
    made = {f"_{what}.md": table(rows[rows["what"] == what]) for what, table in TABLES.items()}
    versions = ", ".join(f"`{version}`" for version in np.unique(rows["scx"]))
    return {name: text or "No results yet.\n" for name, text in made.items()} | {"_versions.md": versions + "\n"}


def write(rows: pd.DataFrame, folder: Path = DOCS) -> None:
    """Write the tables of the documentation."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(rows).items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    write(load())
