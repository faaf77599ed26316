"""Tables and figures of the documentation, from results.csv alone.

    python benchmarks/tables.py                                          # write docs/benchmarks/
    python benchmarks/tables.py --arms contrastive:default scvi:kmeans   # print tables of some arms
    python benchmarks/tables.py --leave-one-out ARM ARM …                # choose among settings

The tables of the documentation hold all arms without changes; --arms also takes others. Of each
dataset, arm, setting and seed, the last row counts.

--leave-one-out answers how good the better of several settings is on data on which it was not
chosen: on each dataset, it takes the arm with the best mean over all *other* datasets.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from figures import critical_difference, draw_critical_difference, draw_differences
from run import KEY, OUT, SCORES, VERSIONS

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks"
EVERYDAY = ("pca20:leiden", "pca50:kmeans")
"""The everyday recipes; differences are to the one with the higher mean ARI over all datasets."""
PANELS = ("breton_predc", "haber_intestine", "lamanno_human_es", "onek1k_blood_40donors", "pbmc_citeseq")
"""Datasets of 1,000 genes or fewer, in which library sizes are truncated."""
MARGIN = 0.05
"""A dataset counts as lost if an arm is this much below the everyday recipe."""

type Setting = tuple[bool, str]
"""Whether the number of clusters is given; how many labels are given."""


def load(path: Path = OUT) -> pd.DataFrame:
    """Read the rows; of each run the last one."""
    results = pd.read_csv(path, dtype={"labels": str, "scx": str})
    return results.fillna({"labels": ""}).drop_duplicates(KEY, keep="last").reset_index(drop=True)


def select(results: pd.DataFrame, setting: Setting, arms: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rows of a setting: of the arms, or of all that have no changes."""
    k_given, labels = setting
    rows = results[(results["k_given"] == k_given) & (results["labels"] == labels)]
    if arms is None:
        return rows[~rows["arm"].map(has_changes)]
    return rows[rows["arm"].isin(arms)]


def has_changes(arm: str) -> bool:
    return "=" in arm


def means(rows: pd.DataFrame, score: str = "ari") -> pd.DataFrame:
    """Return the means over seeds: datasets × arms, NaN where there is no row."""
    return rows.pivot_table(score, "dataset", "arm", aggfunc="mean")


def reference(ari: pd.DataFrame, labels: str = "") -> str | None:
    """Return the arm that the others are compared with: an everyday recipe, or logistic regression."""
    arms = [arm for arm in (["pca50:logistic"] if labels else EVERYDAY) if arm in ari]
    return str(ari[arms].dropna().mean().fillna(-1).idxmax()) if arms else None


def leave_one_out(scores: pd.DataFrame) -> pd.DataFrame:
    """Choose an arm for each dataset by all other datasets.

    Parameters
    ----------
    scores
        Datasets × arms. Only datasets on which all arms have a score count.

    Returns
    -------
    By dataset: the arm with the best mean over the others, its score, and the best score of all.
    """
    scores = scores.dropna()
    if len(scores) < 2:
        raise SystemExit("Fewer than two datasets have rows of all these arms.")
    others = (scores.sum() - scores) / (len(scores) - 1)
    chosen = others.idxmax(axis=1)
    score = [scores.loc[dataset, arm] for dataset, arm in chosen.items()]
    return pd.DataFrame({"chosen": chosen, "score": score, "hindsight": scores.max(axis=1)})


# --- text


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    if not np.isfinite(value):
        return ""
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def by_dataset(rows: pd.DataFrame, score: str = "ari") -> str:
    """Write datasets × arms, mean ± standard deviation over seeds; the best of a row is bold."""
    mean = means(rows, score)
    mean = mean[mean.mean().sort_values(ascending=False, kind="stable").index]
    spread = rows.pivot_table(score, "dataset", "arm", aggfunc="std", dropna=False).reindex_like(mean)
    lines = []
    for dataset in mean.index:
        best = mean.loc[dataset].round(3).max()
        cells = [
            f"**{number(value)}**" if round(value, 3) == best else number(value)
            for value in mean.loc[dataset].to_numpy()
        ]
        deviations = [number(value) for value in spread.loc[dataset].to_numpy()]
        lines.append(
            [f"{dataset}{' †' if dataset in PANELS else ''}"]
            + [f"{cell} ± {sd}" if sd else cell for cell, sd in zip(cells, deviations, strict=True)]
        )
    return markdown([score_name(score), *(f"`{arm}`" for arm in mean)], lines)


def score_name(score: str) -> str:
    return {"nmi_max": "NMI (larger entropy)", "macro_f1": "macro F1"}.get(score, score.upper())


def summary(rows: pd.DataFrame, against: str | None) -> str:
    """Write one line per arm: means over its datasets, and differences to another arm on these."""
    by_score = {
        score: means(rows, score) for score in ("ari", "nmi", "nmi_max", "acc", "macro_f1", "seconds", "memory_mb")
    }
    ari, nmi = by_score["ari"], by_score["nmi"]
    spread = rows.groupby(["arm", "dataset"])["ari"].std().groupby("arm").mean()
    panels, has_ece = ari.index.isin(PANELS), bool(rows["ece"].notna().any())
    lines = []
    for arm in ari:
        own = {score: number(table[arm].mean(), 3) for score, table in by_score.items()}
        line = [f"`{arm}`", str(ari[arm].notna().sum()), own["ari"]]
        gain = ari[arm] - (0 if against is None else ari[against])
        if against is not None:
            nmi_gain = nmi[arm] - nmi[against]
            worst = (
                f"{number(gain.min(), sign=True)} ({gain.idxmin()})" if gain.notna().any() and arm != against else ""
            )
            line += [number(gain.mean(), sign=True), str((gain < -MARGIN).sum()), worst]
            line += [number(gain[panels].mean(), sign=True), number(nmi_gain.mean(), sign=True)]
        line += [number(spread[arm]), own["nmi"], own["nmi_max"], own["acc"], own["macro_f1"]]
        line += [number(rows.loc[rows["arm"] == arm, "ece"].mean())] * has_ece
        line += [number(by_score["seconds"][arm].mean(), 1), number(by_score["memory_mb"][arm].mean(), 0)]
        lines.append((gain.mean(), line))
    header = ["arm", "datasets", "ARI"]
    if against is not None:
        header += [f"− `{against}`", f"lost by > {MARGIN}", "worst", "the same, gene panels", "the same, NMI"]
    header += ["s.d. over seeds", "NMI", "NMI (larger entropy)", "ACC", "macro F1"]
    header += ["calibration error"] * has_ece + ["seconds", "MB"]
    lines.sort(key=lambda pair: -pair[0])
    return markdown(header, [line for _, line in lines])


def differences(rows: pd.DataFrame, against: str) -> str:
    """Write datasets × arms: ARI minus that of another arm; losses by more than the margin are bold."""
    ari = means(rows)
    gain = ari.drop(columns=against).sub(ari[against], axis=0)
    gain = gain[gain.mean().sort_values(ascending=False, kind="stable").index]

    def cell(value: float) -> str:
        return f"**{number(value, sign=True)}**" if value < -MARGIN else number(value, sign=True)

    lines = [
        [f"{dataset}{' †' if dataset in PANELS else ''}", number(ari.loc[dataset, against]), *map(cell, values)]
        for dataset, values in zip(gain.index, gain.to_numpy(), strict=True)
    ]
    return markdown(["ARI difference", f"`{against}`", *(f"`{arm}`" for arm in gain)], lines)


def chosen_numbers(rows: pd.DataFrame, at_k: pd.DataFrame) -> str:
    """Write how far the chosen number of clusters is from the number of types, by arm."""
    error = rows.assign(error=(rows["n_clusters"] - rows["n_types"]) / rows["n_types"])
    error["size"] = error["error"].abs()
    ari, given = means(rows), means(at_k)
    lines = []
    for arm, group in error.groupby("arm"):
        per_set = group.groupby("dataset")[["error", "size"]].mean()
        cost = (ari[arm] - given[arm]).mean() if arm in given else np.nan
        cells = [number(per_set["size"].mean(), 2), number(per_set["error"].mean(), 2, sign=True)]
        line = [f"`{arm}`", str(len(per_set)), *cells, number(ari[arm].mean()), number(cost, sign=True)]
        lines.append((per_set["size"].mean(), line))
    header = ["arm", "datasets", "mean error", "bias", "ARI", "ARI − ARI at the number of types"]
    numbers = rows.sort_values("seed").groupby(["dataset", "n_types", "arm"])["n_clusters"]
    each = numbers.agg(lambda found: ", ".join(map(str, found))).unstack().fillna("")
    table = markdown(
        ["dataset", "types", *(f"`{arm}`" for arm in each)],
        [[dataset, str(n), *cells] for (dataset, n), cells in zip(each.index, each.to_numpy(), strict=True)],
    )
    return f"{markdown(header, [line for _, line in sorted(lines)])}\n{table}"


def confidence(rows: pd.DataFrame) -> str:
    """Write the share of misassigned cells among those with the lowest confidence and the others."""
    table = rows.dropna(subset=["wrong_low"]).groupby(["arm", "dataset"])[["wrong_low", "wrong_other"]].mean()
    table = table.groupby("arm").mean()
    lines = [
        [f"`{arm}`", number(low, 2), number(other, 2), number(low / other, 1)] for arm, low, other in table.itertuples()
    ]
    return markdown(["arm", "lowest tenth", "others", "ratio"], lines)


def made_by(results: pd.DataFrame) -> str:
    """Write the versions that made the rows."""
    lines = [[name.replace("_", "-"), ", ".join(f"`{v}`" for v in sorted(results[name].unique()))] for name in VERSIONS]
    return markdown(["package", "versions"], lines)


# --- pages


def pages(results: pd.DataFrame, arms: Sequence[str] | None = None) -> dict[str, str]:
    """Return the text of every generated file by its name."""
    given, chosen = select(results, (True, ""), arms), select(results, (False, ""), arms)
    at_k, at_chosen = reference(means(given)), reference(means(chosen))
    texts = {
        "_versions.md": made_by(results),
        "_k_given.md": summary(given, at_k),
        "_k_given_ari.md": by_dataset(given),
        "_k_given_nmi.md": by_dataset(given, "nmi"),
        "_k_given_differences.md": "" if at_k is None else differences(given, at_k),
        "_k_given_figures.md": figures_text(given),
        "_k_chosen.md": summary(chosen, at_chosen),
        "_k_chosen_numbers.md": chosen_numbers(chosen, given),
        "_k_chosen_ari.md": by_dataset(chosen),
        "_labels.md": with_labels(results, arms),
        "_confidence.md": confidence(given),
    }
    return {name: text or "No results yet.\n" for name, text in texts.items()}


def with_labels(results: pd.DataFrame, arms: Sequence[str] | None) -> str:
    """Write the tables of every amount of labels, the largest share first, wrong labels last."""
    parts = []
    for labels in sorted(set(results["labels"]) - {""}, key=lambda spec: (":" in spec, -float(spec.split(":")[0]))):
        rows = select(results, (False, labels), arms)
        amount, _, kind = labels.partition(":")
        share = f"{100 * float(amount):g} % of the cells" if float(amount) < 1 else f"{amount} cells"
        wrong = ", a fifth of the labels wrong" if kind else ""
        against = reference(means(rows), labels)
        parts.append(f"Labels of {share} of each type{wrong}:\n\n{summary(rows, against)}\n{by_dataset(rows)}")
    return "\n".join(parts)


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Return datasets × arms without gaps: the arms that have all datasets that any arm has."""
    ari = means(rows)
    return ari[ari.columns[ari.notna().all()]]


def figures_text(rows: pd.DataFrame) -> str:
    """Write what the figures show, and the links to them."""
    against = reference(means(rows))
    text = ""
    if against is not None:
        text += f"![Differences of ARI to {against} by arm](benchmarks/differences.svg)\n\n"
    scores = compared(rows)
    if scores.shape[1] >= 3:
        ranks, difference, p = critical_difference(scores)
        text += (
            f"Ranks of the {len(ranks)} arms that ran on all {len(scores)} datasets: the Friedman test has p = {p:.2g}. "
            f"By Nemenyi's test, arms differ (p < 0.05) if their mean ranks differ by more than {difference:.2f}. "
            "A bar joins arms that do not.\n\n"
            "![Mean ranks of the arms with the critical difference](benchmarks/critical_difference.svg)\n"
        )
    return text


def write(results: pd.DataFrame, folder: Path = DOCS) -> None:
    """Write tables and figures of the documentation, in place of those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in pages(results).items():
        (folder / name).write_text(text)
    given = select(results, (True, ""))
    ari, against = means(given), reference(means(given))
    if against is not None:
        gain = ari.drop(columns=against).sub(ari[against], axis=0).dropna(axis=1, how="all")
        draw_differences(gain, against, folder / "differences.svg")
    if compared(given).shape[1] >= 3:
        draw_critical_difference(compared(given), folder / "critical_difference.svg")


def report_leave_one_out(scores: pd.DataFrame, everyday: pd.Series | None) -> str:
    """Write what the choice of a setting on other datasets reaches, beside every fixed setting."""
    scores = scores.dropna()
    chosen = leave_one_out(scores)
    settings = {"chosen on the other datasets": chosen["score"]}
    settings |= {f"`{arm}`": scores[arm] for arm in scores.mean().sort_values(ascending=False).index}
    settings |= {"the best on each dataset, with hindsight": chosen["hindsight"]}
    header = [f"setting, {len(chosen)} datasets", "mean"]
    lines = [[name, number(values.mean())] for name, values in settings.items()]
    if everyday is not None:
        header += [f"− `{everyday.name}`", f"lost by > {MARGIN}", "worst"]
        for line, values in zip(lines, settings.values(), strict=True):
            gain = values - everyday
            worst = f"{number(gain.min(), sign=True)} ({gain.idxmin()})"
            line += [number(gain.mean(), sign=True), str((gain < -MARGIN).sum()), worst]
    each = [
        [str(dataset), f"`{row['chosen']}`", number(row["score"]), number(row["hindsight"])]
        for dataset, row in chosen.iterrows()
    ]
    return f"{markdown(header, lines)}\n{markdown(['dataset', 'chosen on the others', 'score', 'hindsight'], each)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=OUT)
    parser.add_argument("--arms", nargs="+", help="print tables of these arms instead")
    parser.add_argument("--leave-one-out", nargs="+", metavar="ARM")
    parser.add_argument("--k", choices=["given", "chosen"], default="given", help="for --leave-one-out")
    parser.add_argument("--labels", default="", help="for --leave-one-out: labels such as 0.05")
    parser.add_argument("--score", choices=SCORES, default="ari", help="for --leave-one-out")
    args = parser.parse_args()
    results = load(args.results)
    if args.leave_one_out:
        setting = (args.k == "given" and not args.labels, args.labels)
        rows = select(results, setting, args.leave_one_out)
        absent = set(args.leave_one_out) - set(rows["arm"])
        if absent:
            parser.error(f"no rows of {', '.join(sorted(absent))} with --k {args.k} --labels '{args.labels}'")
        every = select(results, setting)
        against = reference(means(every), args.labels)
        everyday = None if against is None else means(every, args.score)[against]
        print(report_leave_one_out(means(rows, args.score), everyday))
    elif args.arms:
        arms = [*args.arms, *EVERYDAY]
        print(
            "\n".join(f"{name.strip('_').removesuffix('.md')}\n\n{t}" for name, t in pages(results, arms).items() if t)
        )
    else:
        write(results)


if __name__ == "__main__":
    main()
