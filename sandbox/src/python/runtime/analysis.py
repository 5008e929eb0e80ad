"""What the text of a test says: which names are the solution's, and whether the solution would be asked if it is right."""

import ast
import bisect
import builtins
import collections
import copy
import datetime
import decimal
import fractions
import functools
import heapq
import itertools
import math
import sys
import types
import typing

# Modules whose names tests use without importing them.
_HELPERS = (typing, collections, math, collections, itertools, functools, copy, fractions, decimal, datetime, heapq, bisect)
# What a test may call the module of the solution.
SOLUTION_MODULES = {"solution", "solutions", "main", "your_module", "module", "my_module", "submission", "answer", "program", "code_solution", "candidate",
                    "your_solution", "implementation", "src", "app", "user_solution", "solution_module"}
# Usual names of packages: they are never the solution's, whether this Python has them or not.
PACKAGES = {"np": "numpy", "numpy": "numpy", "pd": "pandas", "pandas": "pandas", "plt": "matplotlib", "matplotlib": "matplotlib", "scipy": "scipy",
            "sp": "scipy", "torch": "torch", "tf": "tensorflow", "sympy": "sympy", "nx": "networkx", "networkx": "networkx", "sklearn": "sklearn",
            "requests": "requests", "pytest": "pytest", "jax": "jax", "PIL": "PIL", "cv2": "cv2", "bs4": "bs4", "yaml": "yaml", "nltk": "nltk"}
_CHECKING = ("assert", "check", "verify", "expect", "test", "validate", "ensure", "compare", "is_correct", "judge", "evaluate")
# Functions that a value is given to, and never a function of the solution's.
_OF_VALUES = {"isclose", "approx", "abs", "round", "len", "str", "int", "float", "set", "sorted", "list", "tuple", "frozenset"}
_PASSING_ON = {"bool", "all", "any", "int", "sum", "list", "tuple", "set", "max", "min", "filter", "map", "zip", "sorted", "next", "iter"}


def names(tree):
    """Names that `tree` reads, and names that it binds anywhere."""
    read, bound = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import) or isinstance(node, ast.ImportFrom) and (node.module or "") not in SOLUTION_MODULES:
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read, bound


def calls(node, wanted):
    """Calls of a name in `wanted`."""
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in wanted]


def entry_called(tree):
    """What the first assertion calls, as `sum` in `assert sum(10, 15) == 6`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            test = node.test.left if isinstance(node.test, ast.Compare) else node.test
            if isinstance(test, ast.Call) and isinstance(test.func, ast.Name):
                return test.func.id
    return None


def standard(name, tree):
    """The standard library's own `name`: a module, or a function or class of one that tests use without importing it."""
    if name in sys.stdlib_module_names and name in sys.modules and not name.startswith("_") and not calls(tree, {name}):
        return sys.modules[name]
    for module in _HELPERS:
        if name in getattr(module, "__all__", ()) or module is math and hasattr(math, name):
            return getattr(module, name)
    return None


def usual_imports(tree):
    """What a program reads without importing or defining it, and what the collections of problems that it may come from import for it:
    `List`, `Counter`, `heappush`."""
    read, bound = names(tree)
    if any(isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names) for node in ast.walk(tree)):
        return {}
    found = {}
    for name in read - bound:
        if not hasattr(builtins, name):
            thing = standard(name, tree)
            if thing is not None:
                found[name] = thing
    return found


def helpers(tree, unknown, solutions):
    """Those of the names `unknown`, all of which the standard library has too, that the test uses as such: modules, classes, and
    functions that are given what the solution answers."""
    found = set()
    for name in unknown:
        thing = standard(name, tree)
        if isinstance(thing, (type, types.ModuleType)) or not callable(thing):
            found.add(name)
            continue
        for call in calls(tree, {name}):
            if any(calls(argument, solutions) for argument in [*call.args, *call.keywords]):
                found.add(name)
    return found


def _called(call):
    """The last name of what a call calls: `isclose` of `math.isclose(...)`."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _compares(call):
    """Whether a call compares its first two arguments: `self.assertEqual(...)`, `math.isclose(...)`."""
    name = _called(call)
    return len(call.args) > 1 and (name == "isclose" or name.startswith("assert") and isinstance(call.func, ast.Attribute))


def values(tree, unknown):
    """Those of the names `unknown` that the test reads as values only: it calls none of them, and gives none to what might call it. A name
    written as that of a class is none."""
    found = {name for name in unknown if name.isupper() or name.islower()}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return set()
        if not isinstance(node, ast.Call):
            continue
        if _called(node) in ("exec", "globals", "setattr"):
            # The name may come to be.
            return set()
        given = [] if _called(node) in _OF_VALUES or _compares(node) else [*node.args, *(keyword.value for keyword in node.keywords)]
        found -= {inner.id for part in [node.func, *given] for inner in ast.walk(part) if isinstance(inner, ast.Name)}
    return found


def solution_imports(tree):
    """Names that the test imports from the solution, by the name that it gives them; `*` for all."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "") in SOLUTION_MODULES:
            for alias in node.names:
                found[alias.asname or alias.name] = alias.name
    return found


class DropSolutionImports(ast.NodeTransformer):
    """Imports of the solution's names: they are there already."""

    def visit_ImportFrom(self, node):
        if (node.module or "") in SOLUTION_MODULES:
            return ast.copy_location(ast.Pass(), node)
        return node


def asserts(tree):
    """Whether the test can fail by its own statements."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assert, ast.Raise)):
            return True
        if isinstance(node, ast.Attribute) and (node.attr.startswith(("assert", "fail")) or node.attr in ("raises", "warns", "approx", "fail", "exit")):
            return True
    return False


class TellPassingOver(ast.NodeTransformer):
    """Has a test tell (by `__passed_over__()`) where it goes on as if nothing had been, whatever kept it from comparing an answer:
    `try: if f(3) != 4: ok = False` with `except: pass`."""

    def visit_Try(self, node):
        self.generic_visit(node)
        compares = any(isinstance(inner, (ast.Assert, ast.Compare)) for statement in node.body for inner in ast.walk(statement))
        for handler in node.handlers if compares and not node.orelse else ():
            general = handler.type is None or isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
            if general and all(isinstance(statement, (ast.Pass, ast.Continue)) for statement in handler.body):
                told = ast.Expr(ast.Call(ast.Name("__passed_over__", ast.Load()), [], []))
                handler.body.insert(0, ast.copy_location(told, handler.body[0]))
        return node


def _own_attribute(node):
    """`self.x` in a class of the test: a variable of its own."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _root(node):
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        if _own_attribute(node):
            return f"self.{node.attr}"
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


class SelfJudging:
    """Finds tests in which the solution is asked if its own answer is right: `assert same(f(x), 3)` where `same` is the solution's too.

    An answer is what a function of the solution's gave, or a variable that such a thing was put in. A judgement is what a function of
    the solution's gives that was handed an answer, or a function. A judgement may be compared with a value; it may not be what decides.
    """

    def __init__(self, tree, functions, classes, constants):
        self.tree, self.functions, self.classes, self.constants = tree, functions, classes, constants
        self.answers, self.judgements = set(), set()
        self.local = {node.name: node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        self.functions -= set(self.local)

    def found(self):
        """The expression in which the solution would judge itself; nothing if there is none."""
        for _ in range(8):
            before = len(self.answers), len(self.judgements)
            self._spread()
            if before == (len(self.answers), len(self.judgements)):
                break
        for node in ast.walk(self.tree):
            for decided in self._decisions(node):
                if self._judges(decided):
                    return ast.unparse(decided)[:200]
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self._checks(node.value):
                return ast.unparse(node.value)[:200]
            if self._takes_for_granted(node):
                return ast.unparse(node)[:200]
        return None

    def _spread(self):
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self._mark(targets, node.value)
            elif isinstance(node, (ast.For, ast.comprehension)):
                self._mark([node.target], node.iter)
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                self._mark([node.optional_vars], node.context_expr)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.local:
                parameters = [argument.arg for argument in self.local[node.func.id].args.args]
                for name, value in [*zip(parameters, node.args), *((keyword.arg, keyword.value) for keyword in node.keywords)]:
                    self._mark([ast.Name(name, ast.Store())], value)

    def _mark(self, targets, value):
        marked = {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name) and node.id not in ("self", "cls")}
        marked |= {f"self.{node.attr}" for target in targets for node in ast.walk(target) if _own_attribute(node)}
        if self._judges(value):
            self.judgements |= marked
        if self._answers(value):
            self.answers |= marked

    def _calls_solution(self, call):
        root = _root(call.func)
        if root in self.classes and not (isinstance(call.func, ast.Attribute)):
            return False
        return root in self.functions or root in self.answers and isinstance(call.func, ast.Attribute)

    def _answers(self, node):
        """Whether there is an answer of the solution's in the expression."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and self._calls_solution(inner):
                return True
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and inner.id in self.answers:
                return True
            if _own_attribute(inner) and f"self.{inner.attr}" in self.answers:
                return True
        return False

    def _given(self, call):
        """Whether a call is given an answer, or a function of the solution's."""
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            bare = argument.value if isinstance(argument, ast.Starred) else argument
            if self._answers(bare) or isinstance(bare, ast.Name) and bare.id in self.functions:
                return True
        return False

    def _judges(self, node):
        """Whether the value of the expression is a judgement, or rests on nothing else."""
        if isinstance(node, ast.Call):
            if self._calls_solution(node) and self._given(node):
                return True
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            if isinstance(node.func, ast.Name) and node.func.id in _PASSING_ON:
                handed = any(isinstance(argument, ast.Name) and argument.id in self.functions for argument in arguments)
                return handed and any(map(self._answers, arguments)) or any(map(self._judges, arguments))
            return False
        if isinstance(node, ast.Name):
            return node.id in self.judgements
        if _own_attribute(node):
            return f"self.{node.attr}" in self.judgements
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            yes_or_no = any(isinstance(side, ast.Constant) and side.value in (True, False, 0, 1) for side in sides)
            return yes_or_no and any(map(self._judges, sides))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._judges(node.operand)
        if isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp)):
            return self._judges(node.elt)
        if isinstance(node, ast.Lambda):
            return self._judges(node.body)
        if isinstance(node, (ast.BoolOp, ast.List, ast.Tuple, ast.Set)):
            return any(map(self._judges, getattr(node, "values", None) or getattr(node, "elts", ())))
        if isinstance(node, ast.IfExp):
            return self._judges(node.body) or self._judges(node.test)
        return isinstance(node, (ast.Starred, ast.NamedExpr, ast.Await, ast.Subscript)) and self._judges(node.value)

    def _decisions(self, node):
        if isinstance(node, (ast.Assert, ast.If, ast.While, ast.IfExp)):
            yield node.test
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in (
                "assertTrue", "assertFalse", "assertEqual", "assertIs", "assertIsNotNone", "assertNotEqual"):
            yes_or_no = [argument for argument in node.args if isinstance(argument, ast.Constant) and argument.value in (True, False, 0, 1)]
            if node.func.attr in ("assertTrue", "assertFalse") or yes_or_no:
                yield from node.args

    def _checks(self, call):
        root = _root(call.func)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else root
        return root in self.functions and name.lower().lstrip("_").startswith(_CHECKING) and self._given(call)

    def _takes_for_granted(self, node):
        """An answer compared with a value that the solution defines, or is to define: `f(3) == EXPECTED`, `abs(f(3) - EXPECTED) < 0.1`,
        `self.assertEqual(f(3), EXPECTED)`."""
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            sides = [node.left, node.right]
        elif isinstance(node, ast.Call) and _compares(node):
            sides = node.args[:2]
        else:
            return False
        bare = [side for side in sides if not self._answers(side)
                and any(isinstance(inner, ast.Name) and inner.id in self.constants for inner in ast.walk(side))]
        return bool(bare) and any(map(self._answers, sides))
