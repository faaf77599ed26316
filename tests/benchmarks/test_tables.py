import re

import numpy as np
import pandas as pd
import pytest

import tables
from arms import parse
from figures import critical_difference, groups
from run import COLUMNS


def rows(arm, dataset, aris, **changes):
    row = dict.fromkeys(COLUMNS, 0.5) | {"dataset": dataset, "arm": arm, "k_given": True, "labels": ""}
    row |= {"n_types": 10, "n_clusters": 10, "ece": np.nan, "scx": "1", "scvi_tools": "1", "scanpy": "1", "torch": "1"}
    return [row | {"seed": seed, "ari": ari} | changes for seed, ari in enumerate(aris)]


@pytest.fixture
def results(tmp_path):
    made = [
        *rows("pca20:leiden", "pollen", [0.6, 0.8]),
        *rows("pca20:leiden", "breton_predc", [0.5, 0.5]),
        *rows("pca50:kmeans", "pollen", [0.6, 0.6]),
        *rows("pca50:kmeans", "breton_predc", [0.4, 0.4]),
        *rows("contrastive:default", "pollen", [0.9, 0.7]),
        *rows("contrastive:default", "breton_predc", [0.1, 0.2]),
        *rows("contrastive:default", "breton_predc", [0.4, 0.42]),  # these replace those above
        *rows("contrastive:default:lr=0.1", "pollen", [0.1]),
        *rows("scvi:kmeans", "pollen", [0.9]),
        *rows("pca20:leiden", "pollen", [0.3, 0.3], k_given=False, n_clusters=15),
        *rows("pca20:leiden", "breton_predc", [0.2, 0.2], k_given=False, n_clusters=9),
        *rows("pca50:logistic", "pollen", [0.7], labels="0.05", k_given=False, ece=0.25),
        *rows("semiaae:default", "pollen", [0.75], labels="0.05", k_given=False, ece=0.125),
    ]
    pd.DataFrame(made).to_csv(tmp_path / "results.csv", index=False)
    return tables.load(tmp_path / "results.csv")


def cells(text):
    """Return the cells of a table by the first one of each line, headers in the line ``""``."""
    lines = [[cell.strip("` ") for cell in line.strip("|").split("|")] for line in text.splitlines() if line]
    return {"": lines[0]} | {line[0]: line for line in lines[2:]}


def test_summary(results):
    table = cells(tables.pages(results)["_k_given.md"])
    assert "− `pca20:leiden" in table[""]
    line = dict(zip(table[""], table["contrastive:default"], strict=True))
    # pollen 0.8 − 0.7, breton_predc 0.41 − 0.5
    assert (line["datasets"], line["ARI"], line["− `pca20:leiden"]) == ("2", "0.605", "+0.005")
    assert line["lost by > 0.05"] == "1" and line["worst"] == "−0.090 (breton_predc)"
    assert line["the same, gene panels"] == "−0.090" and line["the same, NMI"] == "0.000"
    spread = (np.std([0.9, 0.7], ddof=1) + np.std([0.4, 0.42], ddof=1)) / 2
    assert line["s.d. over seeds"] == f"{spread:.3f}"
    # a peer that ran on one dataset is compared on that one
    assert table["scvi:kmeans"][1:4] == ["1", "0.900", "+0.200"]
    assert not any("lr" in name for name in table)


def test_by_dataset(results):
    table = cells(tables.pages(results)["_k_given_ari.md"])
    at = table[""].index("contrastive:default")
    assert table["pollen"][at] == "0.800 ± 0.141" and table["breton_predc †"][at] == "0.410 ± 0.014"
    assert table["pollen"][table[""].index("scvi:kmeans")] == "**0.900**"


def test_differences(results):
    table = cells(tables.pages(results)["_k_given_differences.md"])
    at = table[""].index("contrastive:default")
    assert table["pollen"][at] == "+0.100" and table["breton_predc †"][at] == "**−0.090**"


def test_chosen_numbers(results):
    first, second = tables.pages(results)["_k_chosen_numbers.md"].split("\n\n")
    # errors +0.5 and −0.1; ARI 0.25, 0.6 where the number is given
    assert cells(first)["pca20:leiden"][1:] == ["2", "0.30", "+0.20", "0.250", "−0.350"]
    assert cells(second)["pollen"] == ["pollen", "10", "15, 15"]


def test_labels(results):
    text = tables.pages(results)["_labels.md"]
    assert text.startswith("Labels of 5 % of the cells of each type:")
    table = cells(text.split("\n\n")[1])
    line = dict(zip(table[""], table["semiaae:default"], strict=True))
    assert line["− `pca50:logistic"] == "+0.050" and line["calibration error"] == "0.125"


def test_leave_one_out():
    scores = pd.DataFrame({"a": [0.9, 0.1, 0.2], "b": [0.3, 0.6, 0.25]}, index=["x", "y", "z"])
    # without x: a 0.15, b 0.425; without y: a 0.55, b 0.275; without z: a 0.5, b 0.45
    found = tables.leave_one_out(scores)
    assert list(found["chosen"]) == ["b", "a", "a"]
    assert list(found["score"]) == [0.3, 0.1, 0.2]
    assert list(found["hindsight"]) == [0.9, 0.6, 0.25]
    gaps = pd.concat([scores, pd.DataFrame({"a": [1.0]}, index=["w"])])
    pd.testing.assert_frame_equal(tables.leave_one_out(gaps), found)
    text = tables.report_leave_one_out(gaps, pd.Series([0.2, 0.2, 0.2], ["x", "y", "z"], name="everyday"))
    line = cells(text.split("\n\n")[0])["chosen on the other datasets"]
    assert line[1:] == ["0.200", "0.000", "1", "−0.100 (y)"]
    with pytest.raises(SystemExit, match="Fewer than two"):
        tables.leave_one_out(scores[:1])


def test_critical_difference():
    """The example of Demšar (2006), table 6 and section 3.2.2: four classifiers on 14 datasets."""
    scores = pd.DataFrame(
        {
            "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.94, 0.619, 0.972, 0.957],
            "m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978],
            "cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.0, 0.965, 0.614, 0.9751, 0.946],
            "m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.0, 0.962, 0.669, 0.975, 0.970],
        }
    )
    ranks, difference, p = critical_difference(scores)
    assert difference == pytest.approx(1.25, abs=0.005)
    assert ranks.to_dict() == pytest.approx({"m+cf": 1.964, "m": 2.0, "cf": 2.893, "C4.5": 3.143}, abs=0.001)
    assert p == pytest.approx(0.0167, abs=0.0001)  # 0.026 in the article, which does not correct for ties
    assert groups(np.array([1.0, 2.0, 2.2, 4.0, 4.1]), 1.25) == [(0, 2), (3, 4)]


def test_documentation_holds_the_committed_results():
    """After new rows: ``python benchmarks/tables.py``."""
    results = tables.load()
    assert {name: (tables.DOCS / name).read_text() for name in tables.pages(results)} == tables.pages(results)
    assert {path.name for path in tables.DOCS.glob("*.md")} == set(tables.pages(results))
    page = tables.DOCS.with_suffix(".md").read_text()
    included = set(re.findall(r"\{include\} benchmarks/(\S+)", page))
    assert included == set(tables.pages(results))
    images = re.findall(r"\]\((benchmarks/\S+)\)", "".join(tables.pages(results).values()))
    assert images and all((tables.DOCS.parent / image).exists() for image in images)
    for arm in results["arm"].unique():
        parse(arm)
