"""Examples in the docstrings of ``scx.tl`` and ``scx.model`` run, and give the output they show."""

import doctest
import inspect
from functools import wraps

import pytest
import scanpy as sc
from matplotlib import pyplot as plt

import scx
from scx.model._core.model import DeepClusteringModel

pytestmark = pytest.mark.slow


def documented():
    """Return the functions, the models, and the methods of models that are ours, by name."""
    found = {f"tl.{name}": getattr(scx.tl, name) for name in scx.tl.__all__}
    for name in scx.model.__all__:
        model = getattr(scx.model, name)
        found[f"model.{name}"] = model
        for method, function in inspect.getmembers(model, inspect.isroutine):
            if not method.startswith("_") and function.__module__.startswith("scx."):
                found[f"model.{name}.{method}"] = function
    return found


PARSER = doctest.DocTestParser()
EXAMPLES = {name: PARSER.get_examples(inspect.getdoc(found) or "") for name, found in documented().items()}


class ShownOutput(doctest.OutputChecker):
    """Compares output where the docstring shows some."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(autouse=True)
def _no_window():
    plt.switch_backend("Agg")
    autoshow, sc.settings.autoshow = sc.settings.autoshow, False
    yield
    sc.settings.autoshow = autoshow
    plt.close("all")


@pytest.fixture(autouse=True)
def _one_epoch(monkeypatch):
    """Train for one epoch: an example shows a call, not a result."""
    train = DeepClusteringModel.train

    @wraps(train)
    def train_one_epoch(self, max_epochs=None, **kwargs):
        train(self, 1, **kwargs)

    monkeypatch.setattr(DeepClusteringModel, "train", train_one_epoch)


@pytest.mark.parametrize("namespace", ["tl", "model"])
def test_every_name_has_an_example(namespace):
    names = [f"{namespace}.{name}" for name in getattr(scx, namespace).__all__]
    assert [name for name in names if not EXAMPLES[name]] == []


@pytest.mark.parametrize("name", [name for name, examples in EXAMPLES.items() if examples])
def test_example(name):
    report = []
    runner = doctest.DocTestRunner(ShownOutput(), verbose=False)
    failed, attempted = runner.run(doctest.DocTest(EXAMPLES[name], {}, name, None, 0, None), out=report.append)
    assert attempted == len(EXAMPLES[name])
    assert failed == 0, "".join(report)
