"""What the text of a test says: which names are the solution's, and what they are used for."""

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
# Functions that a value is given to, and never a function of the solution's.
_OF_VALUES = {"isclose", "approx", "abs", "round", "len", "str", "int", "float", "set", "sorted", "list", "tuple", "frozenset"}


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


def called(call):
    """The last name of what a call calls: `isclose` of `math.isclose(...)`."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def compares(call):
    """Whether a call compares its first two arguments: `self.assertEqual(...)`, `math.isclose(...)`."""
    name = called(call)
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
        if called(node) in ("exec", "globals", "setattr"):
            # The name may come to be.
            return set()
        given = [] if called(node) in _OF_VALUES or compares(node) else [*node.args, *(keyword.value for keyword in node.keywords)]
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
        comparing = any(isinstance(inner, (ast.Assert, ast.Compare)) for statement in node.body for inner in ast.walk(statement))
        for handler in node.handlers if comparing and not node.orelse else ():
            general = handler.type is None or isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
            if general and all(isinstance(statement, (ast.Pass, ast.Continue)) for statement in handler.body):
                told = ast.Expr(ast.Call(ast.Name("__passed_over__", ast.Load()), [], []))
                handler.body.insert(0, ast.copy_location(told, handler.body[0]))
        return node
