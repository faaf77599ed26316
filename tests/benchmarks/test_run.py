import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, adjusted_rand_score, f1_score, normalized_mutual_info_score

import run
from arms import Found


@pytest.fixture
def tried(monkeypatch):
    """Runs that take no time: what is run is listed, and every row has the same score."""
    made = []

    def pretend(task):
        made.append(task)
        return task | run.versions() | {"ari": "0.5", "n_clusters": 4, "seconds": "1.0"}

    monkeypatch.setattr(run, "in_process", pretend)
    return made


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, words)])
    monkeypatch.setattr(run.os, "environ", dict(run.os.environ))  # the program sets what its processes read
    return run.main()


def test_resumes(tried, monkeypatch, tmp_path):
    out = tmp_path / "results.csv"
    words = ("--arms", "pca20:leiden", "contrastive:default", "--datasets", "one", "two", "--seeds", 0, "--out", out)
    assert call(monkeypatch, *words) == 0
    assert len(tried) == len(run.rows(out)) == 4
    call(monkeypatch, *words)
    assert len(tried) == 4
    call(monkeypatch, *words, "--k", "given", "chosen", "--jobs", 2)
    assert len(tried) == 8 and {row["k_given"] for row in run.rows(out)} == {"True", "False"}

    monkeypatch.setattr(run, "code_version", lambda: "another")  # that of scx, on which peers do not depend
    call(monkeypatch, *words, "--any-version")
    assert len(tried) == 8
    call(monkeypatch, *words)
    assert [task["arm"] for task in tried[8:]] == ["contrastive:default"] * 2
    call(monkeypatch, *words, "--redo", "pca20:leiden")
    assert [task["arm"] for task in tried[10:]] == ["pca20:leiden"] * 2
    assert len(run.rows(out)) == 12


def test_labels_are_for_the_arms_that_read_them(tried, monkeypatch, tmp_path):
    words = ("--datasets", "one", "--seeds", 0, "--out", tmp_path / "results.csv")
    call(monkeypatch, "--arms", "semiaae:default", "scanvi", "--labels", "0.2", "0.05", *words)
    assert [(task["arm"], task["labels"]) for task in tried] == [
        (arm, labels) for arm in ("semiaae:default", "scanvi") for labels in ("0.2", "0.05")
    ]
    with pytest.raises(SystemExit, match="pca20:gap needs --k chosen"):
        call(monkeypatch, "--arms", "pca20:gap", *words)


def test_failed_run_leaves_no_row_and_the_others_go_on(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "in_process", lambda task: "exit status -9\nkilled")
    out = tmp_path / "results.csv"
    assert call(monkeypatch, "--arms", "pca20:leiden", "--datasets", "one", "two", "--seeds", 0, "--out", out) == 1
    errors = capsys.readouterr().err
    assert "one pca20:leiden True  0: exit status -9\nkilled" in errors and "two pca20" in errors
    assert run.rows(out) == []


def end(task):
    os._exit(3)


def fail(task):
    raise ValueError(task["dataset"])


def made(task):
    return task | {"process": os.getpid()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_each_row_has_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(run, "FORKED", multiprocessing.get_context("fork"))
    task = {"dataset": "one"}
    monkeypatch.setattr(run, "measure", made)
    first, second = run.in_process(task), run.in_process(task)
    assert first["dataset"] == "one"
    assert len({first["process"], second["process"], os.getpid()}) == 3
    monkeypatch.setattr(run, "measure", end)
    assert run.in_process(task) == "exit status 3\nit sent nothing"
    monkeypatch.setattr(run, "measure", fail)
    failed = run.in_process(task)
    assert failed.startswith("exit status 1\n") and "ValueError: one" in failed


def test_two_programs_append_to_one_file(tmp_path):
    out = tmp_path / "results.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: run.append({"dataset": "x" * 300, "seed": i}, out), range(200)))
    assert sorted(int(row["seed"]) for row in run.rows(out)) == list(range(200))
    out.write_text("other,columns\n")
    with pytest.raises(SystemExit, match="other columns"):
        run.append({}, out)


def test_fingerprint_is_of_code(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    (tmp_path / "pl").mkdir()
    code = tmp_path / "code.py"

    def after(text, path=code):
        path.write_text(text)
        return run.code_version()

    first = after('def f():\n    """One."""\n    return 1\n')
    assert after('def f():\n    # why\n    """Two."""\n    return (1)\n') == first
    assert after("x = 1\n", tmp_path / "pl" / "plot.py") == first
    assert after("def f():\n    return 2\n") != first


def test_scores_of_clusters():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b", "c"], 200)
    clusters = np.where(rng.random(200) < 0.7, truth, rng.choice(["a", "d"], 200))
    confidence = rng.random(200)
    found = run.scores(truth, Found(clusters, confidence), np.ones(200, dtype=bool), has_labels=False)
    assert found["ari"] == pytest.approx(adjusted_rand_score(truth, clusters))
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(truth, clusters))
    assert found["nmi_max"] == pytest.approx(normalized_mutual_info_score(truth, clusters, average_method="max"))
    names, counts = np.unique(clusters, return_counts=True)
    commonest = {name: max(np.sum(truth[clusters == name] == kind) for kind in "abc") for name in names}
    wrong = sum(n - commonest[name] for name, n in zip(names, counts, strict=True))
    assert 20 * found["wrong_low"] + 180 * found["wrong_other"] == pytest.approx(wrong)
    assert "ece" not in found


def test_scores_of_predictions_are_of_unlabelled_cells():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b", "c"], 300)
    prediction = np.where(rng.random(300) < 0.8, truth, "a")
    scored = rng.random(300) < 0.5
    found = run.scores(truth, Found(np.full(300, "x"), np.full(300, 0.9), prediction), scored, has_labels=True)
    truth, prediction = truth[scored], prediction[scored]
    accuracy = accuracy_score(truth, prediction)
    assert found["ari"] == pytest.approx(adjusted_rand_score(truth, prediction))
    assert found["acc"] == pytest.approx(accuracy)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, prediction, average="macro"))
    assert found["ece"] == pytest.approx(abs(accuracy - 0.9))


@pytest.mark.slow
def test_one_run_in_a_process_of_its_own(tmp_path):
    out = tmp_path / "results.csv"
    words = ["--arms", "pca20:kmeans", "--datasets", "simulated_4_balanced", "--seeds", "0", "--out", str(out)]
    subprocess.run([sys.executable, run.__file__, *words], check=True)
    (row,) = run.rows(out)
    assert row["n_clusters"] == row["n_types"] == "4" and float(row["ari"]) > 0.9
    assert 0 < float(row["seconds"]) < 60 and 0 < float(row["memory_mb"]) < 4000
    assert {name: row[name] for name in run.VERSIONS} == run.versions()
