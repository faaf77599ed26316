"""The table of cases: every parameter of every public function × values of the wrong type, odd values, and hand-written ones.

A case is accepted with its documented meaning, or refused with a message that names the parameter, by our own check, before any
training and with every argument as it was. Training that diverges is the one error that comes later. The files ``cases_*.py`` say how each function is called and hold the hand-written rows;
parameters and odd values come from the signatures, so that a new parameter is covered by itself.
"""

import inspect
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAliasType, Union, get_args, get_origin

import anndata as ad
import numpy as np
import pandas as pd

import scx
from robustness.identical import assert_identical, frozen
from scx.model._core.trainer import Diverged

SOURCE = str(Path(scx.__file__).parent)


@dataclass(frozen=True)
class Made:
    """A value that is made anew for every call, such as a generator."""

    make: Callable[[], Any]


@dataclass
class Outcome:
    """What an accepted call did."""

    arguments: dict[str, Any]
    returned: Any
    warned: list[str]
    target: "Target"

    @property
    def adata(self) -> ad.AnnData:
        """The annotated object: what was returned, else what was passed."""
        return self.returned if isinstance(self.returned, ad.AnnData) else self.arguments["adata"]

    @property
    def reference(self) -> "Outcome":
        """What the call does without the argument."""
        return self.target.reference


@dataclass(frozen=True)
class Case:
    """One row: a value of a parameter, and what becomes of it."""

    value: Any
    accepted: bool | None  # None: either
    effect: Callable[[Outcome], Any] | None = None
    match: str = ""
    error: type[Exception] | tuple[type[Exception], ...] = (TypeError, ValueError)
    others: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        others = "".join(f", {name}={value!r}" for name, value in self.others.items())
        return (self.label or " ".join(repr(self.value).split())[:60]) + others


def accepts(value: Any, effect: Callable[[Outcome], Any], *, warns: str = "", label: str = "", **others: Any) -> Case:
    """A value that is accepted: `effect` says whether the call did what is documented; `warns` is in a warning."""
    return Case(value, True, effect, match=warns, others=others, label=label)


def refuses(
    value: Any, match: str = "", *, error: Any = (TypeError, ValueError), label: str = "", **others: Any
) -> Case:
    """A value that is refused; `match` is searched for in the message, which names the parameter in any case."""
    return Case(value, False, match=match, error=error, others=others, label=label)


@dataclass(eq=False)
class Target:
    """A public function, and how to call it.

    Parameters
    ----------
    name
        As ``tl.cluster``, or ``model.CICL.train``.
    function
        What is called; its signature says which parameters there are.
    arguments
        Makes fresh arguments of a call that works and is quick.
    rows
        Hand-written cases of each parameter.
    untried
        Odd values that are not tried, by parameter, such as a number of epochs that would be trained.
    """

    name: str
    function: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]
    rows: Mapping[str, Sequence[Case]]
    untried: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Parameters by name, without ``self``."""
        parameters = inspect.signature(self.function).parameters
        return {name: parameter for name, parameter in parameters.items() if name != "self"}

    @cached_property
    def reference(self) -> Outcome:
        """What the call does that works."""
        return self.call(self.arguments())

    def call(self, arguments: Mapping[str, Any]) -> Outcome:
        """Call the function."""
        passed = {name: value.make() if isinstance(value, Made) else value for name, value in arguments.items()}
        flat: dict[str, Any] = {}
        for name, value in passed.items():
            collects = name in self.parameters and self.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            flat |= value if collects else {name: value}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            returned = self.function(**flat)
        return Outcome(passed, returned, [str(warning.message) for warning in caught], self)

    def cases(self, parameter: str) -> list[Case]:
        """All cases of a parameter: hand-written ones, then odd values; what is refused for its type comes first."""
        drawn = odd_cases(self.parameters[parameter], self.untried.get(parameter, ()))
        return [*drawn, *self.rows.get(parameter, ())]


# Odd values: label, value, what kind of value it is. A value of a kind that the annotation does not name must be refused.
ODD: list[tuple[str, Any, str]] = [
    ("None", None, "none"),
    ("True", True, "bool"),
    ("False", False, "bool"),
    ("3", 3, "int"),
    ("-1", -1, "int"),
    ("10**12", 10**12, "int"),
    ("10**30", 10**30, "int"),
    ("2.5", 2.5, "float"),
    ("nan", float("nan"), "float"),
    ("-inf", -float("inf"), "float"),
    ("1j", 1j, "complex"),
    ("''", "", "str"),
    ("'no such name'", "no such name", "str"),
    ("b'bytes'", b"bytes", "bytes"),
    ("[]", [], "list"),
    ("['no such name']", ["no such name"], "list of str"),
    ("[7]", [7], "list of int"),
    ("[nan]", [float("nan")], "list of float"),
    ("[None]", [None], "list of none"),
    ("[[]]", [[]], "list of list"),
    ("{}", {}, "dict"),
    ("{'a': 1}", {"a": 1}, "dict of int"),
    ("{3: [3]}", {3: [3]}, "dict by int"),
    ("object()", object(), "object"),
    ("int", int, "type"),
    ("array(1)", np.array(1), "scalar array"),
    ("zeros((2, 2))", np.zeros((2, 2)), "matrix"),
    ("DataFrame()", pd.DataFrame(), "table"),
    ("NaT", pd.NaT, "object"),
]
LISTS = ("list", "list of str", "list of int", "list of float", "list of none", "list of list", "matrix")


def kinds(annotation: Any) -> set[str]:
    """Return the kinds of odd values that an annotation allows; all of them for Any."""
    origin, entries = get_origin(annotation) or annotation, get_args(annotation)
    if origin in (Union, types.UnionType):
        return set().union(*map(kinds, entries))
    if isinstance(origin, TypeAliasType) or origin is np.ndarray:  # NDArray: whatever numpy makes an array of
        return set(LISTS)
    if origin is Any or origin is inspect.Parameter.empty:
        return {kind for _, _, kind in ODD}
    if issubclass(origin, Mapping):
        of_any = {"dict", "dict of int", *([] if entries else ["dict by int"])}
        return of_any if not entries or entries[1] is Any else {"dict"}
    if issubclass(origin, Collection) and entries:
        return {"list", *(f"list of {kind}" for kind in kinds(entries[0]))}
    return {
        int: {"int"},
        float: {"int", "float"},
        bool: {"bool"},
        str: {"str"},
        types.NoneType: {"none"},
        pd.DataFrame: {"table"},
    }.get(origin, set())


def odd_cases(parameter: inspect.Parameter, untried: Collection[str]) -> list[Case]:
    """Return the odd values as cases of a parameter: refused where their kind is wrong, else either."""
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return [
            Case({"no_such_argument": value}, None, label=f"no_such_argument={label}") for label, value, _ in ODD[:3]
        ]
    allowed = kinds(parameter.annotation)
    cases = [
        Case(value, None if kind in allowed else False, label=label)
        for label, value, kind in ODD
        if label not in untried
    ]
    if parameter.default is None and "None" not in untried:  # the default is what every other call tests
        cases = [case for case in cases if case.value is not None]
    return sorted(cases, key=lambda case: case.accepted is None)


def problems(target: Target, parameter: str) -> list[str]:
    """Run all cases of a parameter; return what is wrong, one line for each case."""
    found = []
    arguments: dict[str, Any] | None = None
    for case in target.cases(parameter):
        if arguments is None:
            arguments = target.arguments()
            before = states(arguments)
        changed = {**arguments, parameter: case.value, **case.others}
        try:
            with watched_training() as began:
                outcome = target.call(changed)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is looked at
            problem = "was refused: " + said(error) if case.accepted else refusal_problem(case, parameter, error)
            if problem is None and began and not isinstance(error, Diverged):
                problem = "was refused after training had begun"
            if problem is None and open_figures():
                problem = "left a figure open"
            try:
                check_states(arguments, before)
            except AssertionError as difference:
                problem, arguments = f"changed its arguments: {difference}", None
        else:
            problem, arguments = acceptance_problem(case, outcome), None
        close_figures()
        if problem is not None:
            found.append(f"{parameter}={case}: {problem}")
    return found


def refusal_problem(case: Case, parameter: str, error: Exception) -> str | None:
    """Return what is wrong with a refusal, or None."""
    message = str(error)
    innermost = list(traceback.walk_tb(error.__traceback__))[-1][0].f_code.co_filename
    names = {parameter, *(case.value if isinstance(case.value, dict) else ())}
    if isinstance(error, Diverged):  # learning rates at which nothing is found, which no check can know
        return None if case.accepted is None else f"raised {said(error)}"
    if not isinstance(error, case.error):
        return f"raised {said(error)}"
    if not innermost.startswith(SOURCE):
        return f"came from inside, {Path(innermost).name}: {said(error)}"
    if not any(re.search(rf"(?<!\w){re.escape(str(name))}(?!\w)", message) for name in names):
        return f"does not name the parameter: {said(error)}"
    if len(message) < len(parameter) + 20:
        return f"says no more than the name: {said(error)}"
    if not re.search(case.match, message):
        return f"the message does not match {case.match!r}: {said(error)}"
    return None


def acceptance_problem(case: Case, outcome: Outcome) -> str | None:
    """Return what is wrong with a call that was accepted, or None."""
    if case.accepted is False:
        return "was accepted"
    if case.match and not any(re.search(case.match, warning) for warning in outcome.warned):
        return f"did not warn of {case.match!r}, but {outcome.warned}"
    if case.effect is None:
        return None
    try:
        result = case.effect(outcome)
    except Exception as error:  # noqa: BLE001  # an effect that cannot be seen is none
        return f"is without its effect: {said(error)}"
    return None if result is None or bool(np.all(result)) else "is without its effect"


def said(error: BaseException) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def states(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the data among the arguments hold."""
    return {name: frozen(data) for name, data in _data(arguments).items()}


def check_states(arguments: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Raise unless the data among the arguments are what they were."""
    for name, data in _data(arguments).items():
        assert_identical(data, before[name])


def _data(arguments: Mapping[str, Any]) -> dict[str, ad.AnnData]:
    """Return the data among the arguments; a table is looked at as the ``obs`` of an AnnData."""
    found = {}
    for name, value in arguments.items():
        if isinstance(value, pd.DataFrame):
            found[name] = ad.AnnData(obs=value.set_axis([str(row) for row in value.index]))
        elif isinstance(value, ad.AnnData):
            found[name] = value
        elif name == "self" and isinstance(getattr(value, "adata", None), ad.AnnData):
            found[name] = value.adata
    return found


@contextmanager
def watched_training() -> Any:
    """Yield a list that is filled when training begins."""
    from scvi.train import TrainRunner

    began: list[bool] = []
    init = TrainRunner.__init__

    def watch(self: Any, *args: Any, **kwargs: Any) -> None:
        began.append(True)
        init(self, *args, **kwargs)

    TrainRunner.__init__ = watch
    try:
        yield began
    finally:
        TrainRunner.__init__ = init


def open_figures() -> list[int]:
    """Return the numbers of the figures of pyplot."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot.get_fignums() if pyplot else []


def close_figures() -> None:
    """Close the figures of pyplot."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot:
        pyplot.close("all")
