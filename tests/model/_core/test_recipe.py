from dataclasses import fields

from scx._docs import field_docs
from scx.model._core.recipe import Recipe, recipe_table


def test_table_shows_every_setting_with_its_meaning(method):
    recipes = method.model_cls.recipes
    table = recipe_table(recipes)
    assert list(table.columns) == ["meaning", "default", "paper"]
    parts = [recipes["default"].module, recipes["default"].training]
    names = {field.name for part in parts for field in fields(part)} | {field.name for field in fields(Recipe)}
    assert set(table.index) == names - {"module", "training"}
    assert (table["meaning"].str.len() > 5).all()
    for name, recipe in recipes.items():
        assert table.loc["lr", name] == str(recipe.training.lr)
        assert table.loc["n_top_genes", name] == str(recipe.n_top_genes)


def test_every_field_is_documented_in_the_docstring_of_the_model(method):
    recipe = method.model_cls.recipes["default"]
    documented = method.model_cls.__doc__
    assert "{parameters}" not in documented
    assert "{training}" not in documented
    options = [field.name for field in fields(recipe.module)] + list(recipe.training.plan_options())
    docs = {**field_docs(type(recipe.module)), **field_docs(type(recipe.training))}
    for name in options:
        assert f"``{name}``\n" in documented
        assert docs[name].splitlines()[0] in documented
