import numpy as np
import pandas as pd
import pytest

import mapping_tables
from mapping import COLUMNS


def row(what, arm, dataset="pollen", part="", **scores):
    return dict.fromkeys(COLUMNS, np.nan) | {"what": what, "dataset": dataset, "arm": arm, "part": part} | scores


@pytest.fixture
def made(tmp_path):
    rows = [
        row("split", "cicl", seed=0, trained_ari=0.5, mapped_ari=0.9, false_alarms=0.5, difference=1.0),  # replaced
        row("split", "cicl", seed=0, trained_ari=0.8, mapped_ari=0.7, false_alarms=0.04, difference=2e-7),
        row("split", "cicl", seed=1, trained_ari=0.8, mapped_ari=0.9, false_alarms=0.06, difference=0.0),
        row("split", "cicl", "pbmc4k", seed=0, trained_ari=0.6, mapped_ari=0.57, false_alarms=0.02, difference=0.0),
        row("novel", "cicl", part="B", seed=0, auroc=0.9, found=0.5, false_alarms=0.05),
        row("novel", "cicl", part="T", seed=0, auroc=0.7, found=0.3, false_alarms=0.03),
        row("novel", "scanvi", part="B", seed=0, auroc=0.95),
        row("samples", "logistic", part="ctrl1 → ctrl2", seed=0, acc=0.9, macro_f1=0.8),
        row("samples", "logistic", part="ctrl1 → stim2", seed=0, acc=0.5, macro_f1=0.4),
    ]
    pd.DataFrame(rows).assign(scx="1").to_csv(tmp_path / "mapping.csv", index=False)
    return mapping_tables.pages(mapping_tables.load(tmp_path / "mapping.csv"))


def lines(text):
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.strip().split("\n")[2:]]


def test_split_gives_datasets_the_same_weight(made):
    assert lines(made["_split.md"]) == [
        ["`cicl`", "2", "3", "0.700", "0.685", "−0.015", "−0.030 (pbmc4k)", "2e-07", "3.5", "2.0 to 5.0"]
    ]


def test_novel_names_the_worst_type(made):
    assert lines(made["_novel.md"]) == [
        ["`scanvi`", "0.950", "0.950", "", "", "0.950 (B)"],
        ["`cicl`", "0.800", "0.800", "40.0", "4.0", "0.700 (T)"],
    ]


def test_samples_tell_treatments_apart(made):
    (line,) = lines(made["_samples.md"])
    assert line[:6] == ["`logistic`", "2", "0.900", "0.800", "0.500", "0.400"]


def test_documentation_is_that_of_the_rows():
    pages = mapping_tables.pages(mapping_tables.load())
    assert {path.name: path.read_text() for path in mapping_tables.DOCS.glob("*.md")} == pages
    page = mapping_tables.DOCS.with_suffix(".md").read_text()
    assert all(f"new_cells/{name}" in page for name in pages)
