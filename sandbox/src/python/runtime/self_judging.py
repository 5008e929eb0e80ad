"""Whether a test would ask the solution if its own answer is right, by what the test's text says.

An answer is what a function of the solution's gave, or a method of an object of its classes, or a variable that such a thing was put in.
A judgement is what one of them gives that was handed an answer, or a function. A judgement may be compared with a value; it may not be what
decides. Names have no scopes here: what a name is anywhere in the test, it is everywhere.
"""

import ast

import analysis

_CHECKING = ("assert", "check", "verify", "expect", "test", "validate", "ensure", "compare", "is_correct", "judge", "evaluate")
# What gives back what it was given, in another shape.
_PASSING_ON = {"bool", "all", "any", "int", "sum", "list", "tuple", "set", "max", "min", "filter", "map", "zip", "sorted", "next", "iter", "str", "repr",
               "dumps", "loads", "call", "reduce", "starmap"}
# What gives back a function that it was given.
_WRAPPING = {"partial", "getattr", "staticmethod", "deepcopy", "cache", "lru_cache", "wraps"}
_KEEPING = {"append", "add", "extend", "insert", "appendleft", "update", "setdefault", "put"}
_YES_OR_NO = {"true", "false", "yes", "no", "ok", "pass", "passed", "fail", "failed", "correct", "incorrect"}
_ASSERTIONS = {"assertTrue", "assertFalse", "assertEqual", "assertIs", "assertIsNotNone", "assertNotEqual", "assertIn", "assertIsNot"}
_LITERALS = (ast.List, ast.Tuple, ast.Set)


def _slot(node):
    """`self.x` and the like: a variable of an object of the test's."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def _own_attribute(node):
    """`self.x` in a class of the test: a variable of its own."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _root(node):
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        if _own_attribute(node):
            return _slot(node)
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _arguments(call):
    return [*call.args, *(keyword.value for keyword in call.keywords)]


class SelfJudging:
    """Finds the expression of a test in which the solution would judge itself: `assert same(f(x), 3)` where `same` is the solution's too."""

    def __init__(self, tree, functions, classes, constants):
        self.nodes = list(ast.walk(tree))
        self.functions, self.classes, self.constants = set(functions), set(classes), set(constants)
        self.local = {node.name: node for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        self.functions -= set(self.local)
        # Names by what they hold: objects of the solution's classes, answers (and the one object that gave them), judgements.
        self.objects, self.answers, self.origins, self.judgements = set(), set(), {}, set()
        # A verdict has no attributes: what is walked along (`node = node.next`) is none.
        called = {id(node.func) for node in self.nodes if isinstance(node, ast.Call)}
        self.walked = {node.value.id for node in self.nodes
                       if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node) not in called}
        # Functions of the test's own, by what they give back.
        self.answering, self.judging = set(), set()

    def found(self):
        """The expression; nothing if there is none."""
        for _ in range(8):
            before = self._known()
            self._spread()
            if before == self._known():
                break
        for node in self.nodes:
            for decided in self._decisions(node):
                if self._judges(decided):
                    return ast.unparse(decided)[:200]
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self._checks(node.value):
                return ast.unparse(node.value)[:200]
            if self._takes_for_granted(node):
                return ast.unparse(node)[:200]
        return None

    def _known(self):
        return sum(map(len, (self.functions, self.classes, self.objects, self.answers, self.judgements, self.answering, self.judging)))

    # What flows where.

    def _spread(self):
        for node in self.nodes:
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self._mark(target, node.value)
                    if isinstance(node.value, ast.Lambda) and isinstance(target, ast.Name):
                        self.local.setdefault(target.id, node.value)
            elif isinstance(node, (ast.For, ast.comprehension)):
                for value in node.iter.elts if isinstance(node.iter, _LITERALS) else [node.iter]:
                    self._mark(node.target, value)
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                self._mark(node.optional_vars, node.context_expr)
            elif isinstance(node, ast.Call):
                self._spread_call(node)
        for name, function in self.local.items():
            self._spread_local(name, function)

    def _spread_call(self, call):
        function = self.local.get(call.func.id) if isinstance(call.func, ast.Name) else call.func
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            parameters = [argument.arg for argument in function.args.args]
            given = [*zip(parameters, call.args), *((keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg)]
            if function.args.vararg is not None:
                given += [(function.args.vararg.arg, value) for value in call.args[len(parameters):]]
            for name, value in given:
                self._mark(ast.Name(name, ast.Store()), value)
        elif isinstance(call.func, ast.Attribute) and call.func.attr in _KEEPING and isinstance(call.func.value, ast.Name):
            # `results.append(same(f(3), 4))`; an object of the solution's keeps what it likes.
            if call.func.value.id not in self.objects | self.answers:
                for value in call.args:
                    self._mark(call.func.value, value)

    def _spread_local(self, name, function):
        """What a function of the test's gives back, and what its parameters are by default."""
        arguments = function.args
        for parameter, value in [*zip(reversed(arguments.args), reversed(arguments.defaults)), *zip(arguments.kwonlyargs, arguments.kw_defaults)]:
            if value is not None:
                self._mark(ast.Name(parameter.arg, ast.Store()), value)
        if isinstance(function, ast.Lambda):
            given = [function.body]
        else:
            given = [node.value for node in ast.walk(function) if isinstance(node, (ast.Return, ast.Yield)) and node.value is not None]
        if any(map(self._judges, given)):
            self.judging.add(name)
        if any(map(self._answers, given)):
            self.answering.add(name)
        # What a fixture of pytest's gives is the parameter of that name.
        if any("fixture" in ast.unparse(decorator) for decorator in getattr(function, "decorator_list", ())):
            for value in given:
                self._mark(ast.Name(name, ast.Store()), value)

    def _mark(self, target, value):
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)) and len(target.elts) == len(value.elts):
            for part, given in zip(target.elts, value.elts):
                self._mark(part, given)
            return
        marked = {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and node.id not in ("self", "cls")}
        slots = {_slot(node) for node in ast.walk(target)} - {None}
        if isinstance(target, ast.Attribute):
            marked = set()
        marked |= slots
        if isinstance(value, ast.Name) and value.id in self.classes:
            self.classes |= marked
        if self._function(value):
            self.functions |= marked
        if self._object(value):
            self.objects |= marked
        if self._judges(value):
            self.judgements |= marked - self.walked
        if self._answers(value):
            self.answers |= marked
            for name in marked:
                self.origins.setdefault(name, set()).update(self._origins(value))

    # What an expression is.

    def _name(self, node):
        return node.id if isinstance(node, ast.Name) else _slot(node)

    def _function(self, node):
        """Whether the expression is a function or class of the solution's, not called: `same`, `Checker().check`, `partial(same, 5)`."""
        if self._name(node) in self.functions:
            return True
        if isinstance(node, ast.Attribute):
            return self._function(node.value) or self._object(node.value)
        if isinstance(node, _LITERALS):
            return any(map(self._function, node.elts))
        if isinstance(node, ast.Dict):
            return any(map(self._function, node.values))
        if isinstance(node, ast.IfExp):
            return self._function(node.body) or self._function(node.orelse)
        if isinstance(node, ast.BoolOp):
            return any(map(self._function, node.values))
        if isinstance(node, ast.Call):
            return analysis.called(node) in _WRAPPING and any(self._function(argument) or self._object(argument) for argument in node.args)
        return isinstance(node, (ast.Starred, ast.NamedExpr, ast.Subscript)) and self._function(node.value)

    def _object(self, node):
        """Whether the expression is an object of a class of the solution's."""
        if isinstance(node, ast.Call):
            return self._name(node.func) in self.classes
        return self._name(node) in self.objects

    def _calls_solution(self, call):
        function = call.func
        if self._name(function) in self.classes:
            return False
        root = _root(function)
        if root in self.functions or isinstance(function, ast.Attribute) and root in self.answers | self.objects:
            return True
        return self._function(function) or self._object(function)

    def _answers(self, node):
        """Whether there is an answer of the solution's in the expression."""
        return next(self._answers_in(node), None) is not None

    def _answers_in(self, node):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and (self._calls_solution(inner) or self._name(inner.func) in self.answering):
                yield inner
            elif isinstance(getattr(inner, "ctx", None), ast.Load) and self._name(inner) in self.answers:
                yield inner

    def _origins(self, node):
        """The objects whose methods gave the answers in the expression; nothing in their place for functions."""
        found = set()
        for inner in self._answers_in(node):
            if isinstance(inner, ast.Call):
                root = _root(inner.func)
                found.add(root if root in self.objects else None)
            else:
                found |= self.origins.get(self._name(inner), {None})
        return found

    def _given(self, call):
        """Whether a call is given an answer, or a function of the solution's. What an object gave itself may be given back to it:
        `tree.find(tree.least())`."""
        root = _root(call.func)
        own = {root} if root in self.objects else set()
        for argument in _arguments(call):
            bare = argument.value if isinstance(argument, ast.Starred) else argument
            if self._answers(bare) and not (own and self._origins(bare) <= own) or isinstance(bare, ast.Name) and bare.id in self.functions:
                return True
        return False

    def _judges(self, node):
        """Whether the value of the expression is a judgement, or rests on nothing else."""
        if isinstance(node, ast.Call):
            return self._judges_by_call(node)
        if self._name(node) in self.judgements:
            return True
        if isinstance(node, ast.Compare):
            return self._judges_by_comparison(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._judges(node.operand)
        if isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp)):
            return self._judges(node.elt)
        if isinstance(node, ast.Lambda):
            return self._judges(node.body)
        if isinstance(node, (ast.BoolOp, *_LITERALS)):
            return any(map(self._judges, getattr(node, "values", None) or getattr(node, "elts", ())))
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr, ast.BitXor)):
            return self._judges(node.left) or self._judges(node.right)
        if isinstance(node, ast.IfExp):
            return self._judges(node.body) or self._judges(node.test)
        return isinstance(node, (ast.Starred, ast.NamedExpr, ast.Await, ast.Subscript)) and self._judges(node.value)

    def _judges_by_call(self, call):
        if self._calls_solution(call) and self._given(call):
            return True
        function = call.func
        if self._name(function) in self.judging or isinstance(function, ast.Lambda) and self._judges(function.body):
            return True
        arguments = _arguments(call)
        if analysis.called(call) in _PASSING_ON:
            handed = any(isinstance(argument, ast.Name) and argument.id in self.functions for argument in arguments)
            return handed and any(map(self._answers, arguments)) or any(map(self._judges, arguments))
        # `verdict(f(3)).lower()`
        return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Call) and self._judges(function.value)

    def _judges_by_comparison(self, node):
        sides = [node.left, *node.comparators]
        if any(isinstance(operator, (ast.In, ast.NotIn)) for operator in node.ops) and self._object(sides[-1]) and self._answers(sides[0]):
            return True
        return any(map(self._judges, sides)) and any(map(self._says_yes_or_no, sides))

    def _says_yes_or_no(self, side):
        if isinstance(side, ast.Constant):
            return side.value in (True, False, 0, 1) or isinstance(side.value, str) and side.value.lower() in _YES_OR_NO
        items = [item.value for item in side.elts if isinstance(item, ast.Constant)] if isinstance(side, _LITERALS) else []
        return any(type(item) is bool for item in items) and len(items) == len(side.elts) and all(item in (True, False) for item in items)

    # What decides.

    def _decisions(self, node):
        if isinstance(node, (ast.Assert, ast.If, ast.While, ast.IfExp)):
            yield node.test
        elif isinstance(node, ast.comprehension):
            yield from node.ifs
        elif isinstance(node, ast.Match):
            if any(isinstance(case.pattern, ast.MatchSingleton) for case in node.cases):
                yield node.subject
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ASSERTIONS:
            if node.func.attr in ("assertTrue", "assertFalse", "assertIsNotNone") or any(map(self._says_yes_or_no, node.args)):
                yield from node.args

    def _checks(self, call):
        root = _root(call.func)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else root
        return name is not None and root in self.functions and name.lower().lstrip("_").startswith(_CHECKING) and self._given(call)

    def _takes_for_granted(self, node):
        """An answer compared with a value that the solution defines, or is to define: `f(3) == EXPECTED`, `abs(f(3) - EXPECTED) < 0.1`,
        `self.assertEqual(f(3), EXPECTED)`."""
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            sides = [node.left, node.right]
        elif isinstance(node, ast.Call) and analysis.compares(node):
            sides = node.args[:2]
        else:
            return False
        bare = [side for side in sides if not self._answers(side)
                and any(isinstance(inner, ast.Name) and inner.id in self.constants for inner in ast.walk(side))]
        return bool(bare) and any(map(self._answers, sides))
