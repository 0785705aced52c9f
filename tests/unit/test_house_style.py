"""The house rules that no linter knows: sizes, docstrings, nothing unfinished, no traces of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("trading_core", "checks", "tasks", "flows", "deployments")
# Anything that the gate, the ledger or an order is computed from. Statistics and charts may use floats.
MONEY_MODULES = (
    "money", "products", "orders", "order_manager", "sizing", "market", "risk", "ledger", "reconcile", "snapshots",
    "desk", "moves", "steps", "engine", "session", "emergency", "plan", "guardrails", "settings",
)
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 40
SELF = Path(__file__).relative_to(ROOT)

# Split so that this file does not name what it forbids.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|Not" r"ImplementedError")
REGISTRY_HOST = re.compile(
    r"py" r"pi\.org|pythonhosted\.org|--(extra-)?index" r"-url|--find" r"-links|npmjs\.(com|org)", re.IGNORECASE
)
ONE_MACHINE = re.compile(
    r"(?<![\w.])/(home|Users|root)/\w|/work" r"/(main|shared)|/opt" r"/(pypi|wheels)|/tmp" r"/gl\b"
)
SLEEP = re.compile(r"\b(time|asyncio|anyio)\.sleep\(|\bfrom time import .*\bsleep\b")


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files under version control, and new ones that are not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    if listing.returncode == 0:
        paths = [Path(line) for line in listing.stdout.splitlines()]
    else:  # an unpacked archive has no version control
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        paths = [path for path in paths if path.parts[0] not in (".venv", "var")]
    return tuple(sorted({path for path in paths if (ROOT / path).is_file()}))


def sources(*packages: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.parts[0] in packages]


def text_of(path: Path) -> str:
    return (ROOT / path).read_text("utf-8")


def matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def readable() -> list[Path]:
    """Return every tracked text file but this one and the licence texts."""
    suffixes = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".j2", ".css", ".service", ""}
    return [p for p in tracked() if p.suffix in suffixes and p not in (SELF, Path("LICENSE"))]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def public_without_docstring(tree: ast.Module) -> Iterator[str]:
    """Yield the public names of a module: functions and classes, and the public methods of public classes."""
    if not ast.get_docstring(tree) and tree.body:
        yield "the module"
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{name}" for name in _methods_without_docstring(node))


def _methods_without_docstring(owner: ast.ClassDef) -> Iterator[str]:
    for node in owner.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_stub = any(isinstance(d, ast.Name) and d.id in ("override", "overload") for d in node.decorator_list)
            if not node.name.startswith("_") and not is_stub and not ast.get_docstring(node):
                yield node.name


def float_calls(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            yield node.lineno


def decimal_of_float(tree: ast.Module) -> Iterator[int]:
    """Yield where a Decimal is made of a float literal."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=float()), *_]):
                yield node.lineno


def lines_of(paths: list[Path], find: Callable[[ast.Module], Iterator[int]]) -> list[str]:
    return [f"{path}:{number}" for path in paths for number in find(ast.parse(text_of(path)))]


def assert_none(offenders: list[str]) -> None:
    """Fail with one offender a line."""
    assert not offenders, "\n" + "\n".join(offenders)


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path): len(text_of(path).splitlines()) for path in sources(*PACKAGES, "tests")}
    assert_none([f"{path} has {length} lines" for path, length in lengths.items() if length > FILE_LINES_MAX])


def test_no_function_is_longer_than_40_lines() -> None:
    too_long = [
        f"{path}:{node.lineno} {node.name} has {length} lines"
        for path in sources(*PACKAGES, "tests")
        for node in functions(ast.parse(text_of(path)))
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert_none(too_long)


def test_every_public_name_has_a_docstring() -> None:
    missing = [
        f"{path}: {name}" for path in sources(*PACKAGES) for name in public_without_docstring(ast.parse(text_of(path)))
    ]
    assert_none(missing)


def test_nothing_is_left_unfinished() -> None:
    assert_none(matches(UNFINISHED, [path for path in readable() if path.suffix == ".py"]))


def test_money_is_never_a_float() -> None:
    money = [Path("trading_core") / f"{name}.py" for name in MONEY_MODULES]
    assert_none(lines_of(money, float_calls))


def test_no_decimal_is_made_of_a_float_literal() -> None:
    assert_none(lines_of(sources(*PACKAGES, "tests"), decimal_of_float))


def test_no_path_of_one_machine_and_no_registry_host_is_named() -> None:
    assert_none(matches(ONE_MACHINE, readable()))
    assert_none(matches(REGISTRY_HOST, readable()))


def test_the_constraints_are_names_and_versions_only() -> None:
    lines = text_of(Path("constraints.txt")).splitlines()
    assert_none([line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9_.+!]+", line)])


def test_tests_never_sleep() -> None:
    assert_none(matches(SLEEP, [path for path in sources("tests") if path != SELF]))


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    # tests/conftest.py says once what a machine may lack; in CI it skips nothing.
    allowed = {SELF, SELF.parent.parent / "conftest.py"}
    assert_none(matches(marks, [path for path in sources("tests") if path not in allowed]))


def test_tests_do_not_mock() -> None:
    mocks = re.compile(r"\bunittest\.mock\b|\bMagicMock\b|\bmocker\b")
    assert_none(matches(mocks, [path for path in sources("tests") if path != SELF]))


def test_every_test_asserts_something() -> None:
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path in sources("tests")
        for node in functions(ast.parse(text_of(path)))
        if node.name.startswith("test_") and not _asserts(node)
    ]
    assert_none(silent)


def _asserts(test: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether the test has an assert, expects an exception, or calls a helper that says it asserts."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("raises", "warns") or name.lstrip("_").startswith(("assert", "check", "require", "expect")):
                return True
    return False


def test_the_decimal_rule_sees_a_float_literal() -> None:
    assert list(decimal_of_float(ast.parse('a = Decimal("0.1")\nb = Decimal(0.1)\nc = Decimal(1)'))) == [2]


@pytest.mark.parametrize(
    ("source", "line"), [("x = float(price)", 1), ("import a\ny = [float('1')]", 2)], ids=["name", "nested"]
)
def test_the_float_rule_sees_a_float(source: str, line: int) -> None:
    assert list(float_calls(ast.parse(source))) == [line]


def test_the_docstring_rule_sees_a_bare_method() -> None:
    source = '"""m"""\nclass A:\n    """a"""\n    def f(self): ...\n    def _g(self): ...\n'
    assert list(public_without_docstring(ast.parse(source))) == ["A.f"]
