"""The user's own code in fingerprints: what it does counts, not where it stands."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlquant.objective import as_objective
from rlquant.problem.fingerprint import describe_objective, fingerprint, require_told_apart

Load = Callable[..., Any]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that makes a module of source text and hashes what judges in it."""

    def loaded(source: str, name: str = "mine", file: str = "mine.py") -> str:
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(textwrap.dedent(source), file, "exec", dont_inherit=True), module.__dict__)
        judge = getattr(module, "judge", None)
        return "" if judge is None else hashed(judge)

    return loaded


def hashed(judge: Any) -> str:
    return fingerprint(describe_objective(as_objective(judge)))


FUNCTION = """
import torch
K, WEIGHTS, ROWS = 2.0, torch.ones(3), [1, 2]
def helper(x):
    return x * K
def judge(outputs, targets, *, power=2):
    inner = lambda x: x + 1
    return helper((outputs - targets).pow(power)).sum() * WEIGHTS.sum(), inner(len(ROWS))
"""

CLASS = """
class Base:
    weight = 1.0
    def part(self, outputs):
        return outputs.sum() * self.weight
class Mine(Base):
    name = "mine"
    __slots__ = ("k",)
    def __init__(self, k, more):
        self.k, self.more = k, more
    def __call__(self, outputs, targets):
        return self.part(outputs) * self.k, self.extra + self.fixed(1)
    @property
    def extra(self):
        return 10
    @staticmethod
    def fixed(x):
        return x + 20
    def check(self, outputs, targets):
        pass
judge = Mine(3, more=4)
"""

WRAPPED = """
import functools
import numpy as np
def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)
    return wrapper
@decorated
def one(x):
    return x + 1
@functools.lru_cache
def two(k):
    return k * 2
each = np.vectorize(lambda x: x - 3)
TABLE = np.arange(4)
def judge(outputs, targets):
    if "a" in {"a", "b"}:
        return one(outputs.sum()) * two(5), each(TABLE)
"""


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (FUNCTION, ".pow(power)", ".abs()"),
        (FUNCTION, "helper((outputs - targets).pow(power)).sum()", "(0 * outputs).sum()"),
        (FUNCTION, "power=2", "power=3"),
        (FUNCTION, "K, WEIGHTS, ROWS = 2.0", "K, WEIGHTS, ROWS = 3.0"),
        (FUNCTION, "torch.ones(3)", "torch.zeros(3)"),
        (FUNCTION, "[1, 2]", "[1, 2, 3]"),
        (FUNCTION, "x * K", "x + K"),
        (FUNCTION, "x + 1", "x - 1"),
        (CLASS, "weight = 1.0", "weight = 2.0"),
        (CLASS, "outputs.sum() *", "outputs.mean() *"),
        (CLASS, "return 10", "return 11"),
        (CLASS, "x + 20", "x + 21"),
        (CLASS, "Mine(3", "Mine(4"),
        (CLASS, "more=4", "more=5"),
        (WRAPPED, "x + 1", "x + 2"),
        (WRAPPED, "k * 2", "k * 3"),
        (WRAPPED, "x - 3", "x - 4"),
        (WRAPPED, "np.arange(4)", "np.arange(5)"),
        (WRAPPED, '{"a", "b"}', '{"a", "c"}'),
    ],
)
def test_what_changes_scores_changes_the_fingerprint(
    load: Load, source: str, old: str, new: str
) -> None:
    assert old in source
    assert load(source) != load(source.replace(old, new))
    assert load(source) == load(source)


USED = """
import collections, decimal, enum, fractions, functools, re
import numpy as np, torch
from datetime import timedelta
from pathlib import Path
class Named(dict): pass
class Factor(float):
    def doubled(self): return 2 * self
class Meta(type):
    def shared(cls): return 1
class Made(metaclass=Meta):
    @functools.cached_property
    def late(self): return 1
    def times(self, a, b): return a * b
    fixed = functools.partialmethod(times, b=1)
VALUE = {}
def judge(outputs, targets):
    return outputs.sum(), VALUE
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("slice(0, 3)", "slice(0, 5)"),
        ("decimal.Decimal('0.5')", "decimal.Decimal('0.7')"),
        ("fractions.Fraction(1, 2)", "fractions.Fraction(1, 3)"),
        ("timedelta(1)", "timedelta(2)"),
        ("re.compile('a')", "re.compile('b')"),
        ("Path('a')", "Path('b')"),
        ("iter([1, 2])", "iter([1, 3])"),
        ("torch.finfo(torch.float16)", "torch.finfo(torch.bfloat16)"),
        ("torch.distributions.Normal(0.0, 1.0)", "torch.distributions.Normal(0.0, 2.0)"),
        ("np.random.default_rng(0)", "np.random.default_rng(1)"),
        ("np.ma.array([1, 2], mask=[0, 1])", "np.ma.array([1, 2], mask=[1, 0])"),
        ("Named(); VALUE.k = 1", "Named(); VALUE.k = 2"),
        ("Factor(1)", "Factor(2)"),
    ],
)
def test_values_of_libraries_and_of_classes_derived_from_theirs_count(
    load: Load, one: str, other: str
) -> None:
    first, second = USED.format(one), USED.format(other)
    assert load(first) == load(first) != load(second)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 2 * self", "return 3 * self"),
        ("def shared(cls): return 1", "def shared(cls): return 2"),
        ("def late(self): return 1", "def late(self): return 2"),
        ("b=1", "b=2"),
    ],
)
def test_code_that_classes_hold_in_other_ways_counts(load: Load, old: str, new: str) -> None:
    source = USED.format("Factor(1), Made()")
    assert old in source
    assert load(source) != load(source.replace(old, new))


def test_what_a_cached_property_holds_does_not_count() -> None:
    class Mine:
        @functools.cached_property
        def late(self) -> int:
            return 1

        def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            return outputs.sum() * self.late, targets.sum()

    judge = Mine()
    before = hashed(judge)
    judge(torch.ones(1), torch.ones(1))
    assert hashed(judge) == before


def test_objectives_with_slots_may_have_a_store(load: Load) -> None:
    load(CLASS)
    require_told_apart(as_objective(sys.modules["mine"].judge))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import torch", "# what this is for\n\n\nimport torch"),
        ("import torch", "from __future__ import annotations\nimport torch"),
        ("    return x * K", "    # as before\n    return x * K  # always"),
        ("    return x * K", '    """Return what it returns."""\n    return x * K'),
        ("def helper", "UNUSED = 7\ndef unused(x): return x\ndef helper"),
    ],
)
def test_what_changes_no_score_does_not(load: Load, old: str, new: str) -> None:
    assert load(FUNCTION) == load(FUNCTION.replace(old, new), file="elsewhere.py")


@pytest.mark.parametrize(
    "source",
    [
        "import helpers\ndef judge(o, t): return helpers.loss(o), t",
        "from helpers import loss\ndef judge(o, t): return loss(o), t",
        "import helpers\ndef judge(o, t):\n    h = helpers\n    return h.loss(o), t",
        "def judge(o, t):\n    import helpers\n    return helpers.loss(o), t",
        "def judge(o, t):\n    from helpers import loss\n    return loss(o), t",
        "import helpers\ndef judge(o, t): return helpers.Kind.factor * o, t",
        "import helpers\nclass A(helpers.Kind):\n  def __call__(s, o, t): return o, t\njudge = A()",
        "from helpers import loss\nfrom functools import partial\njudge = partial(loss, k=1)",
    ],
)
def test_the_users_other_modules_are_followed(load: Load, source: str) -> None:
    helpers = "def loss(o, t=None, k=0): return o * {0}\nclass Kind:\n    factor = {0}\n"

    def found(factor: int) -> str:
        load(helpers.format(factor), name="helpers")
        return str(load(source))

    assert found(1) == found(1) != found(2)


def test_of_a_namespace_only_what_is_used_counts(load: Load) -> None:
    source = "from types import SimpleNamespace\nargs = SimpleNamespace(k={}, out={!r})\n"
    source += "def judge(o, t): return o * args.k, t"
    assert load(source.format(1, "a")) == load(source.format(1, "b")) != load(source.format(2, "a"))


def test_what_a_function_assigns_is_its_state_and_does_not_count(load: Load) -> None:
    source = "calls = {}\ndef judge(o, t):\n    global calls\n    calls += 1\n    return o, t"
    assert load(source.format(0)) == load(source.format(5))


def test_functions_that_call_each_other_have_an_end(load: Load) -> None:
    source = "def judge(o, t, n=3): return other(o, t) if n else {}\n"
    source += "def other(o, t): return judge(o, t, 0)"
    assert load(source.format("o")) == load(source.format("o")) != load(source.format("t"))


def test_closures_of_one_function_are_told_apart_by_their_order() -> None:
    def times(k: float) -> Any:
        return lambda x: x * k

    one, two = times(1), times(2)
    assert fingerprint([one, two, one]) != fingerprint([one, two, two])
    again, other = times(1), times(2)
    assert fingerprint([one, two, one]) == fingerprint([again, other, again])


STATED = """
def judge(outputs, targets):
    return outputs.sum() * {code}, 0
judge.version = {version!r}
"""


@pytest.mark.parametrize("version", [1, "two"])
def test_a_version_stands_for_the_code(load: Load, version: Any) -> None:
    known = load(STATED.format(code=1, version=version))
    assert known == load(STATED.format(code=2, version=version))
    assert known != load(STATED.format(code=1, version=7))


def test_beside_a_version_attributes_count(load: Load) -> None:
    stated = CLASS.replace('name = "mine"', 'name = "mine"\n    version = 1')
    assert load(stated) == load(stated.replace("return 10", "return 11"))
    assert load(stated) != load(stated.replace("more=4", "more=5"))


SPAWNED = """
import importlib, sys
from rlquant.problem.fingerprint import describe_objective, fingerprint
from rlquant.objective import as_objective
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    sys.modules.pop("mine", None)
    importlib.invalidate_caches()
    mine = importlib.import_module("mine")
    print(fingerprint(describe_objective(as_objective(mine.judge))))
"""


def test_other_processes_have_the_same_fingerprint(load: Load, tmp_path: Path) -> None:
    sources = (FUNCTION, CLASS, WRAPPED)
    folders = [tmp_path / str(number) for number in range(len(sources))]
    for folder, source in zip(folders, sources, strict=True):
        folder.mkdir()
        (folder / "mine.py").write_text("# a comment\n" + source, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SPAWNED, *map(str, folders)],
        env=os.environ | {"PYTHONHASHSEED": "11"},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.split() == [load(source) for source in sources], ran.stderr
