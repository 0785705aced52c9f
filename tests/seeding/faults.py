"""Faults that are put into a copy of the package, one at a time: each removes or inverts one rule that guards money."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple


class StaleFault(Exception):
    """The text that a fault replaces is no longer there exactly once: write the fault again."""


class Fault(NamedTuple):
    """One change of one file, and the tests of which at least one must fail."""

    name: str
    file: str
    change: Callable[[str], str]
    tests: tuple[str, ...]

    def __repr__(self) -> str:
        """Return the name: it is what a test's id shows."""
        return self.name


def swap(module: str, rule: str, old: str, new: str, *tests: str) -> Fault:
    """Return a fault that replaces text which stands in the file exactly once."""
    file = f"trading_core/{module}.py"

    def change(source: str) -> str:
        if source.count(old) != 1:
            raise StaleFault(f"{file}: {old!r} stands there {source.count(old)} times, needed once ({rule})")
        return source.replace(old, new)

    return Fault(f"{module}: {rule}", file, change, tuple(f"tests/{test}.py" for test in tests))


# ── risk: found by walking, so that a new rule without a test is a survivor ─────────────────────
RISK, RISK_TESTS = "trading_core/risk.py", ("tests/unit/test_risk.py", "tests/unit/test_risk_brackets.py")
# A reason that sizing gives, not a rule of risk.
ELSEWHERE = {"INSUFFICIENT_DEPTH": ("trading_core/desk.py", ("tests/unit/test_desk.py",))}
OTHER_EDGE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
}
# Changes that change nothing: a position of zero has been sent away before its sign is looked at.
SAME_EDGE = frozenset({("is_reducing", 0), ("approve_emergency", 0)})


class _WithoutReason(ast.NodeTransformer):
    """Replaces each refusal for one reason by None: the rule passes everything."""

    def __init__(self, reason: str) -> None:
        self.reason, self.removed = reason, 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "Denial" and _member(node.args[0]) == self.reason:
            self.removed += 1
            return ast.copy_location(ast.Constant(None), node)
        return node


class _OtherEdge(ast.NodeTransformer):
    """Moves the edge of one comparison: what passed exactly at the limit is refused, or the other way round."""

    def __init__(self, function: str, number: int) -> None:
        self._function, self._number, self._seen, self._is_inside = function, number, 0, False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._is_inside = node.name == self._function
        self.generic_visit(node)
        self._is_inside = False
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        for place, operator in enumerate(node.ops if self._is_inside else ()):
            if type(operator) in OTHER_EDGE:
                if self._seen == self._number:
                    node.ops[place] = OTHER_EDGE[type(operator)]()
                self._seen += 1
        return node


def without_reason(reason: str) -> Fault:
    """Return the fault that takes one reason of refusal away."""
    file, tests = ELSEWHERE.get(reason, (RISK, RISK_TESTS))

    def change(source: str) -> str:
        without = _WithoutReason(reason)
        changed = ast.unparse(without.visit(ast.parse(source)))
        if not without.removed:
            raise StaleFault(f"{file}: no rule refuses with {reason}: remove the member or write the rule")
        return changed

    return Fault(f"risk: never {reason}", file, change, tests)


def other_edge(function: str, number: int) -> Fault:
    """Return the fault that moves the edge of the function's comparison of that number."""
    def change(source: str) -> str:
        return ast.unparse(_OtherEdge(function, number).visit(ast.parse(source)))

    return Fault(f"risk: edge {number} of {function}", RISK, change, RISK_TESTS)


def risk_reasons(source: str) -> Iterator[Fault]:
    """Return a fault for each member of DenialReason."""
    members = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "DenialReason")
    for node in members.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield without_reason(node.targets[0].id)


def risk_edges(source: str) -> Iterator[Fault]:
    """Return a fault for each ordered comparison in a function of risk."""
    tree = ast.parse(source)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        compared = [o for n in ast.walk(function) if isinstance(n, ast.Compare) for o in n.ops if type(o) in OTHER_EDGE]
        for number in range(len(compared)):
            if (function.name, number) not in SAME_EDGE:
                yield other_edge(function.name, number)


def _member(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""
