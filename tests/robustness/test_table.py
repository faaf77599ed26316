"""Whatever is passed as whatever parameter of whatever function: its documented meaning, or a clear refusal. See `table.py`."""

import inspect

import pytest

import scx
from robustness import cases_datasets, cases_metrics, cases_model, cases_pl, cases_tl
from robustness.pending import PENDING
from robustness.table import Target, problems
from scx._rng import global_seed

pytestmark = pytest.mark.slow

TARGETS = [
    target for module in (cases_tl, cases_pl, cases_metrics, cases_datasets, cases_model) for target in module.TARGETS
]
PARAMETERS = [(target, parameter) for target in TARGETS for parameter in target.parameters]
METHODS_OF_MODELS = (
    "__init__",
    "setup_anndata",
    "train",
    "get_latent_representation",
    "predict",
    "get_elbo",
    "get_normalized_expression",
)


def public() -> set[str]:
    """Names of all public functions and methods that are ours."""
    functions = {
        f"{namespace}.{name}"
        for namespace in ("tl", "pl", "metrics", "datasets")
        for name in getattr(scx, namespace).__all__
        if inspect.signature(getattr(getattr(scx, namespace), name)).parameters
    }
    methods = {
        f"model.{name}.{method}"
        for name in scx.model.__all__
        for method in METHODS_OF_MODELS
        if getattr(getattr(getattr(scx.model, name), method, None), "__module__", "").startswith("scx.")
    }
    return functions | methods | {"model.load"}


def _item(target: Target, parameter: str) -> object:
    reason = PENDING.get((target.name, parameter))
    marks = [pytest.mark.xfail(reason=reason, strict=True, run="starts processes" not in reason)] if reason else []
    return pytest.param(target, parameter, id=f"{target.name}-{parameter}", marks=marks)


@pytest.mark.parametrize(("target", "parameter"), [_item(*row) for row in PARAMETERS])
def test_parameter(target, parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with global_seed(0):
        found = problems(target, parameter)
    n_cases = len(target.cases(parameter))
    assert not found, "\n".join([f"{len(found)} of {n_cases} cases of {target.name}:", *found])


@pytest.mark.parametrize("namespace", ["tl", "pl", "metrics", "datasets", "model"])
def test_every_public_function_is_in_the_table(namespace):
    of_namespace = {name for name in public() if name.startswith(f"{namespace}.")}
    assert {target.name for target in TARGETS if target.name.startswith(f"{namespace}.")} == of_namespace


def test_every_parameter_has_a_boundary_case_and_a_refusal_of_its_own():
    lacking = []
    for target, parameter in PARAMETERS:
        rows = target.rows.get(parameter, ())
        if not any(case.accepted and case.effect for case in rows):
            lacking.append(f"{target.name}: {parameter} has no valid boundary value with its effect")
        if not any(case.accepted is False for case in target.cases(parameter)):
            lacking.append(f"{target.name}: {parameter} has nothing that is refused")
    assert not lacking, "\n".join(lacking)


def test_number_of_cases():
    assert sum(len(target.cases(parameter)) for target, parameter in PARAMETERS) >= 2000
