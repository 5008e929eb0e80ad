"""The side of the tests: it runs one test, and meets the solution by what crosses from the other instance only."""

import ast
import builtins
import contextlib
import linecache
import random
import sys
import types
import unittest
import unittest.mock
import warnings

import analysis
import files
import pytest_standin
import remote
import self_judging
from crossing import same_answer
from remote import BrokenTest, SolutionDied, Unverifiable

TEST_FILE = "<test>"
_SEED = random.seed


class _Absent(types.ModuleType):
    """A package that this Python does not have: it can be imported, and whoever uses it is told."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        remote.session.fail(BrokenTest(f"the test uses {self.__name__}.{name}, and {self.__name__} is not there: this Python has the standard library only"))

    __path__ = []


class _AbsentFinder:
    """Finds packages that tests often import and seldom need."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        import importlib.machinery
        return importlib.machinery.ModuleSpec(name, _AbsentFinder) if name.split(".")[0] in analysis.PACKAGES.values() else None

    @staticmethod
    def create_module(spec):
        return _Absent(spec.name)

    @staticmethod
    def exec_module(module):
        pass


def _parsed(text, what):
    try:
        return ast.parse(text.removeprefix("\ufeff"), TEST_FILE)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BrokenTest(f"the {what} does not parse: {error}") from None


def _prompt_code(prompt):
    """The statements of a prompt that is code, or that ends within a function; none of any other."""
    for text in (prompt, prompt.rstrip() + "\n    pass\n"):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return tree.body if any(isinstance(node, kinds) for node in tree.body) else []
    return []


def _own_name(entry_point):
    """The name that an entry point begins with: `Solution` of `Solution().twoSum`."""
    root = entry_point
    for mark in "(.":
        root = root.split(mark)[0]
    return root.strip()


def _given(request):
    """What comes before a test: the statements of the prompt and of the setup that are the tests' side's, and those that are the solution's
    too: of the prompt all (whoever wrote the solution has read it), of the setup imports and classes."""
    entry = _own_name(request.get("entry_point") or "")
    prompt = [node for node in _prompt_code(request.get("prompt") or "") if getattr(node, "name", None) != entry or not entry]
    setup = _parsed(request.get("setup") or "", "test's setup").body
    shared = [node for node in setup if isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef))]
    classes = [node.name for node in [*prompt, *shared] if isinstance(node, ast.ClassDef)]
    return prompt, setup, shared, classes


def prelude(request):
    """What is to be run before the solution: source, and the names of classes whose objects both sides have."""
    try:
        prompt, _, shared, classes = _given(request)
    except BrokenTest as error:
        return {"verdict": "broken", "reason": str(error)}
    statements = [*prompt, *(node for node in shared if not (isinstance(node, ast.ImportFrom) and (node.module or "") in analysis.SOLUTION_MODULES))]
    return {"prelude": [ast.unparse(node) for node in statements], "classes": classes}


def _run_given(request, namespace):
    prompt, _, shared, classes = _given(request)
    for body, what in ((prompt, "prompt's code"), (shared, "setup")):
        tree = analysis.DropSolutionImports().visit(ast.Module(body, []))
        try:
            exec(compile(ast.fix_missing_locations(tree), "<setup>", "exec", dont_inherit=True), namespace)
        except (NameError, AttributeError) if what != "setup" else ():
            # A part of a prompt that needs what the model was to write.
            pass
        except Exception as error:
            raise BrokenTest(f"the test's {what} failed: {type(error).__name__}: {error}") from None
    for name in classes:
        if isinstance(namespace.get(name), type):
            remote.session.border.classes[name] = namespace[name]


def _wanted(name):
    """What the solution has under a name; nothing if it does not have it."""
    reply = remote.session.ask("get", name=name)
    if "missing" in reply:
        return None
    if "standard" in reply:
        # The solution imports it: it is the standard library's here as well.
        module, found = map(str, reply["standard"])
        thing = _standard_thing(module, found)
        if thing is None or (found or module).split(".")[-1] != name and (found or module) != name:
            remote.session.fail(Unverifiable(f"{name} is what the solution calls {module}.{found}"))
        return [thing]
    return [remote.session.decode(reply["value"])]


def _standard_thing(module, name):
    """The standard library's own thing of that name: a module, or a class or function of one."""
    top = module.split(".")[0]
    if top not in sys.stdlib_module_names or name and top in ("unittest", "sys", "operator") or module not in sys.modules:
        return None
    return getattr(sys.modules[module], name, None) if name else sys.modules[module]


def _name_class(value):
    """Lets the objects of a class that the test names take part in it."""
    if isinstance(value, remote.Class):
        remote.session.named.add(object.__getattribute__(value, "_kind"))


def _entry(entry_point, namespace):
    """The function under test, of a name or of an expression such as `Solution().twoSum`."""
    try:
        tree = ast.parse(entry_point, mode="eval")
    except SyntaxError:
        raise BrokenTest(f"entry_point is {entry_point!r}: expected the name of a function or an expression such as Solution().name") from None
    root = _own_name(entry_point)
    found = _wanted(root)
    if found is None and isinstance(tree.body, ast.Name):
        # A function that the solution has as a method of its class Solution.
        owner = _wanted("Solution")
        if owner is not None and isinstance(owner[0], remote.Class):
            _name_class(owner[0])
            return _fresh_method(owner[0], entry_point)
    if found is None:
        return None
    _name_class(found[0])
    if isinstance(tree.body, ast.Name):
        return found[0]
    before, namespace[root] = namespace.get(root), found[0]
    if isinstance(tree.body, ast.Attribute) and isinstance(tree.body.value, ast.Call) and not (tree.body.value.args or tree.body.value.keywords):
        return _fresh_method(found[0], tree.body.attr)
    try:
        return eval(compile(tree, TEST_FILE, "eval"), namespace)
    finally:
        if before is not None:
            namespace[root] = before


def _fresh_method(owner, name):
    """A method that meets a new object in each call, as an entry point of the form `Solution().name` is used."""
    def candidate(*args, **kwargs):
        return getattr(owner(), name)(*args, **kwargs)
    candidate.__name__ = name
    return candidate


def _resolve(tree, namespace, entry_point):
    """Puts into `namespace` what the test reads and nobody defines: the solution's functions and classes, and what belongs to the
    standard library. A name of the standard library is the solution's unless the test uses it around the solution."""
    session = remote.session
    imported = analysis.solution_imports(tree)
    read, bound = analysis.names(tree)
    entry_name = entry_point if entry_point is not None and entry_point.isidentifier() else None
    if imported.pop("*", None):
        pass
    free = {name for name in read - bound if name not in namespace or name in imported}
    free |= {name for name in imported}
    free -= {"candidate"} if entry_point is not None else set()
    unknown = {name for name in free if not hasattr(builtins, name) or name in imported}
    for name in sorted(unknown - set(imported)):
        if name in analysis.PACKAGES:
            session.fail(BrokenTest(f"the test uses {name} without importing it, and no solution is to define it"))
    known = {name for name in unknown if name not in imported and name != entry_name and analysis.standard(name, tree) is not None}
    solutions = unknown - known
    entry = {"candidate"} if entry_point is not None else set()
    if not solutions | entry and not known and (name := analysis.entry_called(tree)) in free:
        solutions = {name}
    helpers = analysis.helpers(tree, known, solutions | entry) if solutions | entry else {
        name for name in known if not analysis.calls(tree, {name})}
    solutions |= known - helpers
    for name in sorted(helpers):
        own = analysis.standard(name, tree)
        # A class of the solution's own goes before one that the standard library has under that name.
        found = _wanted(name) if isinstance(own, (type, types.ModuleType)) else None
        if found is not None and (isinstance(found[0], type) or isinstance(found[0], remote.Class) and isinstance(own, type)):
            own = found[0]
            _name_class(own)
        namespace[name] = own
    functions, classes, constants, missing = set(entry), set(), set(), set()
    if entry_point is not None:
        candidate = _entry(entry_point, namespace)
        if candidate is not None:
            namespace["candidate"] = candidate
            if entry_name is not None and entry_name not in bound:
                namespace[entry_name] = candidate
        else:
            namespace.pop(entry_name, None)
        functions.add(entry_name or "candidate")
    for name in sorted(solutions - {entry_name}):
        found = _wanted(imported.get(name, name))
        if found is None:
            missing.add(name)
            continue
        value = namespace[name] = found[0]
        _name_class(value)
        is_class = isinstance(value, (remote.Class, type))
        if is_class and name[:1].isupper():
            classes.add(name)
        elif isinstance(value, remote.Remote) or is_class:
            functions.add(name)
        else:
            constants.add(name)
        if entry_point is not None and isinstance(value, remote.Function) and entry_name is not None:
            session.fail(BrokenTest(f"the test uses {name}, a function of the solution beside {entry_point}, which it is to test"))
    # A value that is not there would be the solution's to give, for whoever writes it: what it is compared with says nothing.
    absent = analysis.values(tree, missing)
    constants |= absent
    functions |= missing - absent
    judged = self_judging.SelfJudging(tree, functions | classes, classes, constants).found()
    if judged is not None:
        session.fail(BrokenTest(f"the test would let the solution judge itself: {judged}"))


# Things that a test may patch and that the solution then meets; see `Session.surroundings`.
_PATCHED = ("builtins.input", "builtins.print", "builtins.open", "sys.stdin", "sys.stdout", "sys.stderr")


def _out_of_reach(tree, text):
    """What a test does to its own process that a solution in another one would not see."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if called == "patch" or called == "setattr" and isinstance(owner, ast.Name) and owner.id == "monkeypatch":
            target = node.args[0] if node.args else None
            if isinstance(target, ast.Constant) and target.value in _PATCHED:
                continue
            if called == "setattr" and isinstance(target, (ast.Name, ast.Attribute)) and ast.unparse(target) in ("builtins", "sys"):
                continue
            return f"the test replaces {ast.unparse(target) if target is not None else 'something'}, which a solution apart from it does not see"
        if called == "object" and isinstance(owner, ast.Name) and owner.id in ("patch", "mock") or called in ("assertLogs", "assertNoLogs"):
            return f"the test uses {ast.unparse(node.func)}, which does not reach a solution apart from it"
    return "the test reads what the solution logs, which does not reach it" if "caplog" in text else None


def _seed_both(*args, **kwargs):
    _SEED(*args, **kwargs)
    if remote.session is not None and remote.session.asked:
        remote.session.ask("seed", to=remote.session.encode(args[0] if args else None))


@contextlib.contextmanager
def _prepared():
    """The interpreter as each test is to find it, for the time of one test. A test is judged before the snapshot is taken, too: what
    stayed behind would be in every program's interpreter."""
    saved = {name: getattr(builtins, name) for name in ("input", "print", "open")}
    modules = {name: sys.modules.get(name) for name in ("pytest", "judge")}
    main, streams = unittest.main, (sys.stdin, sys.stdout, sys.stderr)
    sys.modules["pytest"] = pytest_standin
    sys.meta_path.append(_AbsentFinder)
    random.seed = _seed_both
    unittest.main = lambda *_, **__: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in saved.items():
            setattr(builtins, name, value)
        sys.stdin, sys.stdout, sys.stderr = streams
        random.seed, unittest.main = _SEED, main
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _AbsentFinder]
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Absent)]:
            del sys.modules[name]
        for name, module in modules.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _run(request):
    session = remote.session
    text = request["test"]
    tree = _parsed(text, "test")
    if not analysis.asserts(tree):
        raise BrokenTest("the test asserts nothing")
    unreachable = _out_of_reach(tree, text)
    if unreachable is not None:
        raise BrokenTest(unreachable)
    session.warns = "warn" in text
    session.exits = "SystemExit" in text
    session.stops = "StopIteration" in text
    _, setup, shared, _ = _given(request)
    # What a setup does beside imports and classes may need the solution: it is a part of the test.
    tree.body[:0] = [node for node in setup if node not in shared]
    namespace = {"__name__": "judge", "__builtins__": builtins, "__same_answer__": same_answer}
    sys.modules["judge"] = types.ModuleType("judge")
    linecache.cache[TEST_FILE] = (len(text), None, text.splitlines(True), TEST_FILE)
    _run_given(request, namespace)
    entry_point = request.get("entry_point")
    if entry_point is not None and entry_point.isidentifier():
        namespace.pop(entry_point, None)
    _resolve(tree, namespace, entry_point)
    read, _ = analysis.names(tree)
    tree = analysis.TellPassingOver().visit(analysis.DropSolutionImports().visit(tree))
    tree, passed_over = ast.fix_missing_locations(tree), []
    namespace["__passed_over__"] = lambda: passed_over.append(True)
    exec(compile(tree, TEST_FILE, "exec", dont_inherit=True), namespace)
    pytest_standin.run_all(namespace, read)
    if passed_over:
        session.fail(Unverifiable("an exception kept the test from comparing an answer, and the test passes over all exceptions"))
    if not session.asked:
        raise BrokenTest("the test never asks the solution for anything")


def judge(request):
    """Runs one test against the solution in the other instance; the verdict."""
    session = remote.session = remote.Session()
    files.reset()
    with _prepared():
        verdict = _judged(request)
    trouble = session.trouble
    if trouble is not None:
        # It decides even if the test caught it and went on.
        kind = {BrokenTest: "broken", SolutionDied: "failed"}.get(type(trouble), "unverified")
        verdict = {"verdict": kind, "reason": str(trouble)[:500]}
    remote.session = None
    return verdict


def _judged(request):
    session = remote.session
    try:
        _run(request)
        return {"verdict": "passed"}
    except BrokenTest as error:
        return {"verdict": "broken", "reason": str(error)[:500]}
    except (SolutionDied, Unverifiable) as error:
        return {"verdict": "unverified", "reason": str(error)[:500]}
    except (ModuleNotFoundError, LookupError, pytest_standin.Skipped) as error:
        if isinstance(error, (ModuleNotFoundError, pytest_standin.Skipped)) or "the fixture" in str(error):
            return {"verdict": "broken", "reason": f"the test: {type(error).__name__}: {str(error)[:300]}"}
        return _failed(session, error)
    except BaseException as error:
        return _failed(session, error)


def _failed(session, error):
    said = f"{type(error).__name__}: {str(error)[:300]}".rstrip(": ")
    if not session.asked and not isinstance(error, (AssertionError, NameError)):
        return {"verdict": "broken", "reason": f"the test: {said}"}
    if isinstance(error, AssertionError):
        said = f"assertion failed {str(error)[:300]}".rstrip()
    return {"verdict": "failed", "reason": said}
