"""An option that cannot be meant is refused, by name, wherever it is passed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
import pytest
from scvi.train import TrainRunner

import scx
from scx._clustering.algorithms import ALGORITHMS
from scx._config import Range, Rate, Width, check_option, check_options, options_of
from scx.model._core.losses import KERNELS
from scx.model._core.recipe import Recipe
from scx.model._infovae.config import InfoVAEConfig
from scx.model._semiaae.config import AdversarialConfig
from scx.model._semiaae.plan import OPTIMIZERS


@pytest.mark.parametrize(
    ("value", "annotation", "plain"),
    [
        (np.int64(3), Width, 3),
        (np.float32(0.5), Rate, 0.5),
        (1, Annotated[float, Range(0)], 1.0),
        (0, Rate, 0.0),
        (np.True_, bool, True),
        (np.str_("a"), Literal["a", "b"], "a"),
        (None, Width | None, None),
        (np.array([3, 4]), Sequence[Width], (3, 4)),
        ([np.int32(3), 4], tuple[Width, Width], (3, 4)),
    ],
)
def test_becomes_plain(value, annotation, plain):
    checked = check_option("x", value, annotation)
    assert checked == plain
    assert type(checked) is type(plain)
    if isinstance(plain, tuple):
        assert all(type(entry) is int for entry in checked)


@pytest.mark.parametrize(
    ("value", "annotation", "error", "match"),
    [
        (1.0, Rate, ValueError, "`x` must be a number, at least 0 and below 1; got 1.0"),
        (float("nan"), Rate, ValueError, "`x` must be a number"),
        (float("inf"), Annotated[float, Range(0)], ValueError, "at least 0; got inf"),
        (10**400, Width, ValueError, "at most 100,000"),
        (0.0, Annotated[float, Range(0, 1, above=True)], ValueError, "above 0 and at most 1"),
        (True, Rate, TypeError, "`x` must be a number, got True"),
        ("0.5", Rate, TypeError, "`x` must be a number, got '0.5'"),
        (3.0, Width, TypeError, "`x` must be a whole number, got 3.0"),
        (1, bool, TypeError, "`x` must be True or False, got 1"),
        ("c", Literal["a", "b"], ValueError, "Unknown `x`: 'c'. Choose one of 'a', 'b'"),
        (["a"], Literal["a", "b"], TypeError, "`x` must be one of 'a', 'b', got"),
        (3, Sequence[Width], TypeError, "`x` must be a list"),
        ("abc", Sequence[Width], TypeError, "`x` must be a list"),
        ([], Sequence[Width], ValueError, "`x` must have at least one entry"),
        ([3, 0], Sequence[Width], ValueError, r"`x\[1\]` must be a whole number, at least 1"),
        ([3, 4, 5], tuple[Width, Width], ValueError, "`x` must have 2 entries"),
    ],
)
def test_refused(value, annotation, error, match):
    with pytest.raises(error, match=match):
        check_option("x", value, annotation)


def test_options_of_a_configuration_are_its_fields_and_those_of_its_parents():
    @dataclass(frozen=True)
    class Parent:
        shared: ClassVar[int] = 3
        lr: Rate
        hidden: bool = True

    @dataclass(frozen=True, kw_only=True)
    class Child(Parent):
        fraction: Rate

    assert options_of(Child) == {"lr": Rate, "hidden": bool, "fraction": Rate}
    with pytest.raises(TypeError, match=r"Unknown entries of `plan`: rate\. Known are fraction, hidden, lr"):
        check_options("plan", {"rate": 0.1}, Child)


def test_every_recipe_is_allowed(method):
    for recipe in method.model_cls.recipes.values():
        module = asdict(recipe.module)
        assert method.model_cls.check_module(module) == module
        training = asdict(recipe.training)
        own = {name: training.pop(name) for name in recipe.training.arguments_of_train}
        assert method.model_cls.check_training(plan_kwargs=training, **own)["plan_kwargs"] == training


def test_words_are_those_that_the_code_knows():
    assert set(get_args(options_of(InfoVAEConfig)["kernel"])) == set(KERNELS)
    assert set(get_args(options_of(AdversarialConfig)["optimizer"])) == set(OPTIMIZERS)
    assert set(get_args(options_of(Recipe)["cluster"])) == set(ALGORITHMS)


def wrong_values(annotation):
    """Return values that an annotation does not allow: of a wrong type, and of the right one."""
    text = str(annotation)
    if "Literal" in text:
        return [3, "misspelt"]
    if annotation is bool:
        return ["yes", None]
    if "Sequence" in text or "tuple" in text:
        return [128, [], [0], [2.5]]
    return ["1", np.nan, -1, 1e300]


def test_no_option_of_a_module_takes_what_it_cannot_use(method, pbmc, monkeypatch):
    def no_setup(*args, **kwargs):
        pytest.fail("the model was set up")

    monkeypatch.setattr(method.model_cls, "setup_anndata", no_setup)
    for name, annotation in options_of(type(method.model_cls.recipes["default"].module)).items():
        for value in wrong_values(annotation):
            with pytest.raises((TypeError, ValueError), match=name):
                method.function(pbmc, model_kwargs={name: value})


def test_no_option_of_a_plan_takes_what_it_cannot_use(method, pbmc, monkeypatch):
    def no_setup(*args, **kwargs):
        pytest.fail("the model was set up")

    monkeypatch.setattr(method.model_cls, "setup_anndata", no_setup)
    for name, annotation in options_of(type(method.model_cls.recipes["default"].training)).items():
        for value in wrong_values(annotation):
            with pytest.raises((TypeError, ValueError), match=name):
                method.function(pbmc, train_kwargs={"plan_kwargs": {name: value}})


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"recipe": "fast"}, ValueError, "Unknown `recipe`: 'fast'"),
        ({"recipe": None}, TypeError, "`recipe` must be a string"),
        ({"n_latent": 0}, ValueError, "`n_latent` must be a whole number, at least [12]"),
        ({"max_value": float("nan")}, ValueError, "`max_value` must be a number, above 0"),
        ({"n_hiden": [8]}, TypeError, "Unknown arguments: n_hiden. Known are .*n_hidden"),
    ],
)
def test_models_refuse_too(method, pbmc, kwargs, error, match):
    method.model_cls.setup_anndata(pbmc)
    with pytest.raises(error, match=match):
        method.model_cls(pbmc, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"max_epochs": 0}, ValueError, "`max_epochs` must be a whole number, at least 1"),
        ({"max_epochs": 1.5}, TypeError, "`max_epochs` must be a whole number"),
        ({"batch_size": 1}, ValueError, "`batch_size` must be a whole number, at least 2"),
        ({"plan_kwargs": 3}, TypeError, "`plan_kwargs` must be a dict"),
        ({"plan_kwargs": {"lr": -1}}, ValueError, r"`plan_kwargs\['lr'\]` must be a number, above 0"),
        ({"plan_kwargs": {"shedule": "cosine"}}, TypeError, "Unknown entries of `plan_kwargs`: shedule.*schedule"),
        ({"early_stopping": "yes"}, TypeError, "`early_stopping` must be True or False"),
        ({"callbacks": 3}, TypeError, "`callbacks` must be a list of .*Callback"),
        ({"train_size": 0.9}, TypeError, "Unknown arguments: train_size"),
        ({"snapshot_epochs": [5]}, ValueError, "`snapshot_epochs` must be between 0 and 1"),
    ],
)
def test_training_refuses_before_it_begins(method, pbmc, monkeypatch, kwargs, error, match):
    def no_training(*args, **kwargs):
        pytest.fail("training began")

    monkeypatch.setattr(TrainRunner, "__init__", no_training)
    method.model_cls.setup_anndata(pbmc)
    with pytest.raises(error, match=match):
        method.model_cls(pbmc).train(**{"max_epochs": 1, **kwargs})


def test_options_that_contradict_arguments(method, pbmc):
    with pytest.raises(ValueError, match=r"`n_latent=8` contradicts `model_kwargs\['n_latent'\]=9`. Pass only one"):
        method.function(pbmc, n_latent=8, model_kwargs={"n_latent": 9})
    if hasattr(method.model_cls.recipes["default"].module, "n_clusters"):
        with pytest.raises(ValueError, match=r"`n_clusters=4` contradicts `model_kwargs\['n_clusters'\]=5`"):
            method.function(pbmc, 4, model_kwargs={"n_clusters": 5})
        with pytest.raises(ValueError, match="`n_clusters` must be between 2 and 300"):
            method.function(pbmc, model_kwargs={"n_clusters": 301})


def test_infovae_refuses_weights_that_add_up_to_less_than_nothing(pbmc):
    with pytest.raises(ValueError, match=r"`alpha \+ lambda_` must be at least 1"):
        scx.tl.infovae(pbmc, model_kwargs={"alpha": 0.1, "lambda_": 0.2})


def test_numbers_of_numpy_are_numbers(method, pbmc):
    plain = method.function(
        pbmc, 4, copy=True, max_epochs=1, batch_size=64, n_top_genes=100, n_latent=8, n_runs=1, rng=3
    )
    of_numpy = {"max_epochs": np.int32(1), "batch_size": np.uint16(64), "n_top_genes": np.int64(100)}
    of_numpy |= {"n_latent": np.int8(8), "n_runs": np.int64(1), "rng": np.uint8(3), "copy": np.True_}
    lr = method.model_cls.recipes["default"].training.lr
    train_kwargs = {"plan_kwargs": {"lr": np.float64(lr)}, "early_stopping": np.False_}
    other = method.function(pbmc, np.int64(4), **of_numpy, train_kwargs=train_kwargs)
    np.testing.assert_array_equal(plain.obsm[f"X_{method.name}"], other.obsm[f"X_{method.name}"])
