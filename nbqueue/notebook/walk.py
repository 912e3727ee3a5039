"""A walk through a cell in the order in which it runs: which names it reads before it has them.

Scopes that run where they stand (class bodies, comprehensions) are walked in place; those that run
when they are called (functions) are the compiler's (`scopes`), and wait until their name is used.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nbqueue.notebook import scopes, texts


def walk(body: Iterable[ast.stmt]) -> Findings:
    """Walk through a cell; gives what was found."""
    found = Findings()
    _Walk(found).block(body)
    found.call_everything()
    return found


class Findings:
    """What a walk has found so far; ordered sets are dicts."""

    def __init__(self) -> None:
        self.reads: dict[str, None] = {}
        self.assigned: dict[str, None] = {}
        self.borrowed: dict[str, None] = {}
        self.unknown: dict[str, None] = {}
        self.bound: set[str] = set()
        """Names that have a value of the cell's own at this point."""
        self.waiting: dict[str, frozenset[str]] = {}
        """Names that functions read when they are called, by the name of the function."""

    def read(self, name: str) -> None:
        """Note that a name is read here."""
        if name not in self.bound:
            self.reads.setdefault(name)
        self.call(name)

    def call(self, function: str) -> None:
        """Take it that a function of the cell runs from here on."""
        for name in sorted(self.waiting.pop(function, ())):
            self.read(name)

    def call_everything(self) -> None:
        """Take it that whatever has not run runs now."""
        while self.waiting:
            self.call(next(iter(self.waiting)))

    def bind(self, name: str) -> None:
        """Note that a name is assigned here."""
        self.bound.add(name)
        self.assigned.setdefault(name)

    def borrow(self, name: str) -> None:
        """Note that a name is imported here."""
        self.bound.add(name)
        self.borrowed.setdefault(name)

    def unbind(self, name: str) -> None:
        """Note that a name is deleted here."""
        self.read(name)
        self.bound.discard(name)


@dataclass
class _Scope:
    """An inner scope that is walked in place: a class body, a comprehension, type parameters."""

    names: set[str] = field(default_factory=set)
    is_class: bool = False


class _Walk(ast.NodeVisitor):
    """Walks statements in the order in which they run."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._scopes: list[_Scope] = []
        self._over = False
        """Whether what follows is not reached (``raise``, ``break`` ...)."""

    # -- names ---------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._load(node.id)
        elif isinstance(node.ctx, ast.Store):
            self._store(node.id)
        elif self._scopes:
            self._scopes[-1].names.discard(node.id)
        else:
            self._found.unbind(node.id)

    def _load(self, name: str) -> None:
        last = len(self._scopes) - 1
        # What a class body assigns is seen by nothing that is inside it.
        seen = (s.names for k, s in enumerate(self._scopes) if k == last or not s.is_class)
        if not any(name in names for names in seen):
            self._found.read(name)

    def _store(self, name: str) -> None:
        if self._scopes:
            self._scopes[-1].names.add(name)
        else:
            self._found.bind(name)

    def _import(self, name: str) -> None:
        if self._scopes:
            self._scopes[-1].names.add(name)
        else:
            self._found.borrow(name)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        if self._scopes and self._scopes[-1].is_class:
            self._store(node.target.id)
        else:  # out of a comprehension, too
            self._found.bind(node.target.id)

    # -- statements whose parts run in another order than they are written -----------------------

    def block(self, body: Iterable[ast.stmt]) -> None:
        """Walk statements."""
        for statement in body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._load(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)
        elif not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        self._loop(node)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._loop(node)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        self.block(node.body)
        self._over = False  # a `break` ends the loop, not the cell
        self.block(node.orelse)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._either([lambda: self.block(node.body), lambda: self.block(node.orelse)])

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        ways: list[Callable[[], None]] = [partial(self._case, case) for case in node.cases]
        last = node.cases[-1]
        if last.guard is not None or not _matches_all(last.pattern):
            ways.append(lambda: None)
        self._either(ways)

    def _case(self, case: ast.match_case) -> None:
        self.visit(case.pattern)
        if case.guard is not None:
            self.visit(case.guard)
        self.block(case.body)

    def _captures(self, node: Any) -> None:
        self.generic_visit(node)
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name is not None:
            self._store(name)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = _captures

    def visit_Try(self, node: Any) -> None:
        def good() -> None:
            self.block(node.body)
            self.block(node.orelse)

        self._either([good, *(lambda h=h: self._handler(h) for h in node.handlers)])
        self.block(node.finalbody)

    visit_TryStar = visit_Try

    def _handler(self, handler: ast.ExceptHandler) -> None:
        if handler.type is not None:
            self.visit(handler.type)
        if handler.name is not None:
            self._found.bound.add(handler.name)
        self.block(handler.body)
        if handler.name is not None:  # Python deletes it
            self._found.bound.discard(handler.name)

    def _either(self, ways: list[Callable[[], None]]) -> None:
        """Walk alternatives; assigned is what all of those assign that go on."""
        before, ends = set(self._found.bound), []
        for way in ways:
            self._found.bound, self._over = set(before), False
            way()
            if not self._over:
                ends.append(self._found.bound)
        self._over = not ends
        if ends:
            self._found.bound = set.intersection(*ends)

    def _leave(self, node: ast.AST) -> None:
        self.generic_visit(node)
        self._over = True

    visit_Raise = visit_Break = visit_Continue = _leave

    # -- inner scopes ----------------------------------------------------------------------------

    @contextmanager
    def _scope(self, names: Iterable[str] = (), *, is_class: bool = False) -> Iterator[None]:
        self._scopes.append(_Scope(set(names), is_class))
        yield
        self._scopes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._in_type_params(node, _signature(node))
        self._define(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._in_type_params(node, (*node.bases, *node.keywords))
        with self._scope(_type_params(node)), self._scope(is_class=True):
            self.block(node.body)
        self._define(node)

    def _in_type_params(self, node: Any, parts: Iterable[ast.AST]) -> None:
        names = _type_params(node)
        if not names:  # so that a class's own names are seen
            for part in parts:
                self.visit(part)
            return
        with self._scope(names):
            for part in parts:
                self.visit(part)

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        """Bind a function or class; what its bodies read waits until the name is used."""
        self._store(node.name)
        if self._scopes:
            return  # a method: it waits with its class, whose code holds its own
        inner = scopes.inside(node)
        for written in sorted(inner.writes):
            self._found.assigned.setdefault(written)
        self._found.waiting[node.name] = inner.reads - {node.name}
        if node.decorator_list:  # which may call it
            self._found.call(node.name)

    def visit_TypeAlias(self, node: Any) -> None:
        with self._scope(_type_params(node)):
            self.visit(node.value)
        self.visit(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        with self._scope():
            for name in sorted(scopes.inside(ast.Expr(node)).reads):
                self._load(name)

    def _comprehension(self, node: Any) -> None:
        first, *others = node.generators
        self.visit(first.iter)  # in the scope around it
        with self._scope():
            self._clause(first)
            for clause in others:
                self.visit(clause.iter)
                self._clause(clause)
            for part in ("key", "value", "elt"):
                if hasattr(node, part):
                    self.visit(getattr(node, part))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _clause(self, clause: ast.comprehension) -> None:
        self.visit(clause.target)
        for condition in clause.ifs:
            self.visit(condition)

    # -- imports, and calls that run texts ------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._found.unknown.setdefault(f"from {node.module} import *")
            else:
                self._import(alias.asname or alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        found = texts.of_call(node, self._found.bound)
        for name in found.reads:
            self._load(name)
        for body in found.bodies:
            self.block(body)
        for name in found.binds:
            self._found.bind(name)
        for what in found.unknown:
            self._found.unknown.setdefault(what)
        if not found.instead:
            self.generic_visit(node)


def _type_params(node: Any) -> list[str]:
    return [param.name for param in getattr(node, "type_params", ())]


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    args = node.args
    yield from args.defaults
    yield from filter(None, args.kw_defaults)
    every = (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg)
    yield from (arg.annotation for arg in every if arg is not None and arg.annotation is not None)
    if node.returns is not None:
        yield node.returns


def _matches_all(pattern: ast.pattern) -> bool:
    return isinstance(pattern, ast.MatchAs) and pattern.pattern is None
