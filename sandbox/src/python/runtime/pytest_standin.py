"""The part of pytest that tests of functions use, under its name: `raises`, `warns`, `approx`, `mark`, `fixture`, `capsys`, `monkeypatch`; and what
finds and runs the functions and cases of a test.

Written for this sandbox; it has no plugins, no files and no command line.
"""

import asyncio
import contextlib
import inspect
import io
import math
import os
import re
import sys
import types
import unittest
import warnings


class Skipped(Exception):
    """`pytest.skip`."""


class _Raised:
    """What `raises` gives: the exception, once it is there."""

    value = None

    @property
    def type(self):
        return type(self.value)

    def match(self, pattern):
        assert re.search(pattern, str(self.value)), f"{pattern!r} does not match {str(self.value)!r}"
        return True

    def __str__(self):
        return repr(self.value)


@contextlib.contextmanager
def _raising(expected, match=None, check=None):
    info = _Raised()
    try:
        yield info
    except expected as error:
        info.value = error
        if match is not None:
            info.match(match)
        assert check is None or check(error)
        return
    raise AssertionError(f"DID NOT RAISE {expected!r}")


def raises(expected=Exception, *args, match=None, check=None, **kwargs):
    if not args:
        return _raising(expected, match, check)
    with _raising(expected) as info:
        args[0](*args[1:], **kwargs)
    return info


@contextlib.contextmanager
def warns(expected=Warning, match=None):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield seen
    if expected is not None:
        assert any(issubclass(one.category, expected) and (match is None or re.search(match, str(one.message))) for one in seen), "DID NOT WARN"


class approx:
    """A number, or a collection of numbers, with a tolerance."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, expected, rel=None, abs=None, nan_ok=False):
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def _near(self, found, expected):
        if isinstance(expected, (list, tuple)):
            return isinstance(found, (list, tuple)) and len(found) == len(expected) and all(map(self._near, found, expected))
        if isinstance(expected, dict):
            return isinstance(found, dict) and found.keys() == expected.keys() and all(self._near(found[key], expected[key]) for key in expected)
        if type(expected) is bool or not isinstance(expected, (int, float, complex)) and not hasattr(expected, "__float__"):
            return found == expected
        if not isinstance(found, (int, float, complex)) and not hasattr(found, "__float__"):
            return False
        if found == expected:
            return True
        if isinstance(expected, complex) or isinstance(found, complex):
            return abs(found - expected) <= max(self.abs or 1e-12, (self.rel or 1e-6) * abs(expected))
        if math.isnan(expected) or math.isnan(found):
            return self.nan_ok and math.isnan(expected) and math.isnan(found)
        if math.isinf(expected) or math.isinf(found):
            return False
        absolute = 1e-12 if self.abs is None else self.abs
        relative = 0 if self.rel is None and self.abs is not None else (1e-6 if self.rel is None else self.rel)
        return abs(found - expected) <= max(absolute, relative * abs(expected))

    def __eq__(self, found):
        return self._near(found, self.expected)

    def __ne__(self, found):
        return not self == found

    def __repr__(self):
        return f"approx({self.expected!r})"


def param(*values, id=None, marks=()):
    return _Param(values)


class _Param(tuple):
    """Values of one case of `parametrize`."""


def skip(reason="", **_):
    raise Skipped(reason)


def fail(reason="", pytrace=True):
    raise AssertionError(reason or "failed")


def importorskip(name, *_, **__):
    try:
        return __import__(name)
    except ImportError:
        raise Skipped(name) from None


def main(*_, **__):
    return 0


def exit(reason="", returncode=0):
    raise AssertionError(f"the test exits: {reason}")


def fixture(function=None, *, scope="function", params=None, autouse=False, ids=None, name=None):
    def mark_it(function):
        function._fixture = {"params": params, "autouse": autouse, "name": name or function.__name__, "scope": scope}
        return function
    return mark_it(function) if function is not None else mark_it


class _Mark:
    def __getattr__(self, name):
        def with_arguments(*args, **kwargs):
            if len(args) == 1 and not kwargs and callable(args[0]) and name not in ("parametrize", "usefixtures"):
                return args[0]

            def decorate(thing):
                if name == "parametrize":
                    thing._parameters = [*getattr(thing, "_parameters", ()), (args[0] if args else kwargs["argnames"],
                                                                              args[1] if len(args) > 1 else kwargs["argvalues"])]
                if name == "usefixtures":
                    thing._uses = [*getattr(thing, "_uses", ()), *args]
                if name == "skip" or name == "skipif" and args and args[0]:
                    thing._skipped = True
                return thing
            return decorate
        return with_arguments


mark = _Mark()


class _Capture:
    """`capsys`: what is written to the outputs from here on."""

    def __init__(self):
        self.before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()

    def readouterr(self):
        got = types.SimpleNamespace(out=sys.stdout.getvalue(), err=sys.stderr.getvalue())
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        return _Captured((got.out, got.err))

    @contextlib.contextmanager
    def disabled(self):
        yield

    def close(self):
        sys.stdout, sys.stderr = self.before


class _Captured(tuple):
    out = property(lambda self: self[0])
    err = property(lambda self: self[1])


class MonkeyPatch:
    """`monkeypatch`: changes that are taken back."""

    def __init__(self):
        self.undoing = []

    def setattr(self, target, name, *value, raising=True):
        if isinstance(target, str):
            value, (path, name) = (name,), target.rsplit(".", 1)
            target = __import__(path, fromlist=["x"])
        before = getattr(target, name, None)
        self.undoing.append(lambda: setattr(target, name, before))
        setattr(target, name, value[0])

    def delattr(self, target, name, raising=True):
        before = getattr(target, name)
        self.undoing.append(lambda: setattr(target, name, before))
        delattr(target, name)

    def setitem(self, mapping, key, value):
        had, before = key in mapping, mapping.get(key)
        self.undoing.append(lambda: mapping.__setitem__(key, before) if had else mapping.pop(key, None))
        mapping[key] = value

    def delitem(self, mapping, key, raising=True):
        before = mapping.pop(key)
        self.undoing.append(lambda: mapping.__setitem__(key, before))

    def setenv(self, name, value, prepend=None):
        self.setitem(os.environ, name, str(value))

    def delenv(self, name, raising=True):
        os.environ.pop(name, None)

    def undo(self):
        while self.undoing:
            self.undoing.pop()()


# --- finding and running --------------------------------------------------------------------------------------------


class _Fixtures:
    """The fixtures of one call of a test function."""

    def __init__(self, namespace, owner):
        self.known = {}
        for holder in (namespace, {name: getattr(owner, name) for name in dir(owner) if not name.startswith("__")} if owner is not None else {}):
            for thing in list(holder.values()):
                told = getattr(getattr(thing, "__func__", thing), "_fixture", None)
                if type(told) is dict:
                    self.known[told["name"]] = thing
        self.made, self.closing, self.parameter = {}, [], {}

    def get(self, name):
        if name in self.made:
            return self.made[name]
        if name in ("capsys", "capfd"):
            value = _Capture()
            self.closing.append(value.close)
        elif name == "monkeypatch":
            value = MonkeyPatch()
            self.closing.append(value.undo)
        elif name == "request":
            value = types.SimpleNamespace(param=None)
        elif name in self.known:
            value = self._make(self.known[name], name)
        else:
            raise LookupError(f"the test needs the fixture {name}, which it does not define")
        self.made[name] = value
        return value

    def _make(self, function, name):
        arguments = {}
        for parameter in inspect.signature(function).parameters:
            arguments[parameter] = types.SimpleNamespace(param=self.parameter.get(name)) if parameter == "request" else self.get(parameter)
        made = function(**arguments)
        if inspect.isgenerator(made):
            value = next(made)
            self.closing.append(lambda: next(made, None))
            return value
        return made

    def close(self):
        for close in reversed(self.closing):
            close()


def _cases(function):
    """The values of each case of a function, by parameter."""
    cases = [{}]
    for given, values in getattr(function, "_parameters", ()):
        given = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
        several = []
        for case in cases:
            for value in values:
                single = len(given) == 1 and not isinstance(value, _Param)
                several.append({**case, **dict(zip(given, [value] if single else value, strict=True))})
        cases = several
    return cases


def _run_function(function, namespace, owner):
    if getattr(function, "_skipped", False):
        return 0
    ran = 0
    for case in _cases(function):
        wanted = [name for name, parameter in inspect.signature(function).parameters.items()
                  if name not in case and parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD]
        fixtures = _Fixtures(namespace, owner)
        many = [(name, fixtures.known[name]) for name in wanted if name in fixtures.known and getattr(fixtures.known[name], "_fixture")["params"]]
        choices = [{}]
        for name, known in many:
            choices = [{**choice, name: value} for choice in choices for value in known._fixture["params"]]
        for choice in choices:
            fixtures = _Fixtures(namespace, owner)
            fixtures.parameter = choice
            try:
                for name, known in fixtures.known.items():
                    if getattr(known, "_fixture")["autouse"] or name in getattr(function, "_uses", ()):
                        fixtures.get(name)
                result = function(**case, **{name: fixtures.get(name) for name in wanted})
                if inspect.iscoroutine(result):
                    asyncio.run(result)
                ran += 1
            except Skipped:
                pass
            finally:
                fixtures.close()
    return ran


def _run_class(kind, namespace):
    ran = 0
    for name in [name for name in kind.__dict__ if name.startswith("test")]:
        owner = kind()
        for method in ("setup_class", "setup_method", "setup"):
            if hasattr(owner, method):
                getattr(owner, method)(*[None] * (len(inspect.signature(getattr(owner, method)).parameters)))
        ran += _run_function(getattr(owner, name), namespace, owner)
        if hasattr(owner, "teardown_method"):
            owner.teardown_method(*[None] * len(inspect.signature(owner.teardown_method).parameters))
    return ran


def _run_unittest(kind):
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(kind).run(result)
    for _, trace in [*result.failures, *result.errors]:
        raise AssertionError(trace.strip().splitlines()[-1][:300])
    return result.testsRun


def run_all(namespace, called):
    """Runs the functions and cases that a test defines and does not run by itself; how many ran. `called` has names that it does run."""
    ran = 0
    for name, thing in list(namespace.items()):
        if name in called:
            continue
        if isinstance(thing, types.FunctionType) and name.startswith("test") and not hasattr(thing, "_fixture"):
            for setup in ("setup_function", "setup_module"):
                if isinstance(namespace.get(setup), types.FunctionType):
                    namespace[setup](*[None] * len(inspect.signature(namespace[setup]).parameters))
            ran += _run_function(thing, namespace, None)
        elif isinstance(thing, type) and thing.__module__ == namespace["__name__"]:
            if issubclass(thing, unittest.TestCase):
                ran += _run_unittest(thing)
            elif name.startswith("Test"):
                ran += _run_class(thing, namespace)
    return ran
