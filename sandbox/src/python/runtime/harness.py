"""What runs inside the sandbox: programs, the solution's side of a test, and the test's side.

Nothing here guards anything. A program shares its interpreter with this file and may change all of it; what leaves the
instance is therefore only ever what the program *claims*. Safety comes from what is absent: a solution's instance never
holds a test or an expected value, and the instance that holds them (`judge`) never runs a line of the solution.

Everything imported here is imported before the snapshot is taken and is all that programs can import.
"""

import abc, argparse, array, ast, asyncio, atexit, base64, binascii, bisect, builtins, calendar, cmath, cmd, codecs, collections  # noqa: E401, F401
import collections.abc, colorsys, configparser, contextlib, contextvars, copy, copyreg, csv, dataclasses, datetime, decimal  # noqa: E401, F401
import difflib, dis, email, enum, errno, fileinput, fnmatch, fractions, functools, gc, genericpath, getopt, glob, graphlib, hashlib  # noqa: E401, F401
import heapq, hmac, html, html.parser, inspect, io, ipaddress, itertools, json, keyword, linecache, locale, logging, marshal  # noqa: E401, F401
import math, numbers, opcode, operator, optparse, os, os.path, pathlib, pickle, pkgutil, platform, posixpath, pprint, queue  # noqa: E401, F401
import quopri, random, re, reprlib, sched, secrets, select, selectors, shlex, shutil, signal, statistics, stat, string  # noqa: E401, F401
import stringprep, struct, subprocess, sys, symtable, tempfile, textwrap, threading, time, timeit, token, tokenize  # noqa: E401, F401
import traceback, types, typing, unicodedata, unittest, urllib.parse, uuid, warnings, weakref, xml.etree.ElementTree  # noqa: E401, F401
import concurrent.futures, encodings.ascii, encodings.idna, encodings.latin_1, encodings.utf_16, encodings.utf_8_sig  # noqa: E401, F401
import encodings.utf_16_le, encodings.utf_16_be, encodings.utf_32, encodings.cp1252, encodings.cp437, encodings.unicode_escape  # noqa: E401, F401
import encodings.rot_13, encodings.hex_codec, encodings.base64_codec, encodings.punycode, encodings.raw_unicode_escape  # noqa: E401, F401

for _name in ("socket", "ssl", "zoneinfo", "tomllib", "zipfile", "http", "urllib.request", "multiprocessing", "sqlite3", "_pydatetime",
              "_strptime", "_pydecimal", "doctest", "pdb", "cProfile", "profile", "this", "turtle", "ctypes", "zlib", "__future__", "_pylong", "_ast_unparse", "_threading_local",
              "bdb", "filecmp", "mimetypes", "http.client", "html.entities", "xml.dom.minidom", "zipimport", "_pyio", "_compat_pickle", "gzip", "bz2", "lzma",
              "mmap", "resource", "code", "codeop", "trace", "tracemalloc", "imaplib", "plistlib", "modulefinder", "runpy", "importlib.util",
              "importlib.metadata", "importlib.resources", "concurrent.futures.thread", "json.tool", "unittest.mock", "annotationlib",
              "string.templatelib", "_colorize", "collections.abc", "nturl2path", "ntpath", "stringprep", "rlcompleter", "sysconfig"):
    if _name in ("this", "turtle"):
        continue
    try:
        __import__(_name)
    except BaseException:
        pass  # not in this build: programs get an ImportError as well

import snapshot
import wit_world

# Typing and the like fill caches on first use: use them once, so that the snapshot holds the filled caches.
re.compile(r"(\d+)\s*([a-z]+)").findall("1 a")
json.loads(json.dumps({"a": [1, 2.5, None, "x"]}))
traceback.format_exception(ValueError("x"))
datetime.datetime.strptime("2024-01-02", "%Y-%m-%d").strftime("%Y")
f"{1.5:.2f} {'%d' % 3} {decimal.Decimal('1.1') + 1} {fractions.Fraction(1, 3)}"
compile(ast.parse("def f(a, b=1, *c, **d):\n  return [x for x in a if x]\nclass A: pass\n"), "<warm>", "exec")

PROGRAM_FILE = "<program>"
# A value that takes more than this to write down is not handed over.
VALUE_BYTES = 16 << 20
# Items taken from an iterator that a solution returns.
ITERATOR_ITEMS = 100_000


def _stream(fd, mode, errors):
    raw = io.FileIO(fd, mode, closefd=False)
    if mode == "rb":
        return io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8", errors=errors, newline="\n")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors)


def _open_streams():
    sys.stdin = sys.__stdin__ = _stream(0, "rb", "surrogateescape")
    sys.stdout = sys.__stdout__ = _stream(1, "wb", "surrogateescape")
    sys.stderr = sys.__stderr__ = _stream(2, "wb", "backslashreplace")


def _flush():
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except Exception:
            pass


# --- asyncio without sockets ----------------------------------------------------------------------------------------


class _NoFiles(selectors._BaseSelectorImpl):
    """Waits for time only: there is no file that could become ready."""

    def select(self, timeout=None):
        if timeout is None or timeout > 0:
            time.sleep(1 if timeout is None else timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    """An event loop without the pair of sockets by which other threads wake it: there are no other threads."""

    def __init__(self, selector=None):
        super().__init__(selector or _NoFiles())

    def _make_self_pipe(self):
        pass

    def _close_self_pipe(self):
        pass

    def _write_to_self(self):
        pass


asyncio.EventLoop = asyncio.SelectorEventLoop = _Loop
asyncio.unix_events._DefaultEventLoopPolicy._loop_factory = _Loop


# --- programs -------------------------------------------------------------------------------------------------------


def _exit_code(code):
    """The status that CPython gives for `SystemExit(code)`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 31) <= code < 1 << 31 else 255
    print(code, file=sys.stderr)
    return 1


def _report(error):
    """The traceback without the harness's own frames, on standard error."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)
    return type(error).__name__


def _main_module():
    module = types.ModuleType("__main__")
    module.__builtins__ = builtins
    module.__file__ = PROGRAM_FILE
    sys.modules["__main__"] = module
    return module


def _remember_source(text):
    linecache.cache[PROGRAM_FILE] = (len(text), None, text.splitlines(True), PROGRAM_FILE)


def _execute(text, module):
    """Runs `text` as `module`; how it ended, as a JSON value."""
    text = text.removeprefix("\ufeff")
    try:
        _remember_source(text)
        exec(compile(text, PROGRAM_FILE, "exec", dont_inherit=True), module.__dict__)
        ended = {"end": "finished"}
    except SystemExit as error:
        ended = {"end": "exited", "code": _exit_code(error.code)}
    except BaseException as error:
        ended = {"end": "uncaught", "exception": _report(error)}
    return ended


def _run(request):
    sys.argv[:] = ["program.py"]
    module = _main_module()
    ended = _execute(request["program"], module)
    try:
        atexit._run_exitfuncs()
        # What the program leaves behind is finalised, as at the end of any interpreter.
        module.__dict__.clear()
    except BaseException:
        pass
    _flush()
    return ended


# --- values that cross between instances ----------------------------------------------------------------------------


class _CannotCross(Exception):
    pass


_ITERATORS = tuple(
    {type(iter(())), type(iter([])), type(iter({})), type(iter({}.values())), type(iter({}.items())), type(iter(set())), type(iter("")),
     type(iter(range(0))), type(iter(b"")), type(reversed([])), map, filter, zip, enumerate, reversed, types.GeneratorType,
     itertools.chain, itertools.islice, itertools.accumulate, itertools.permutations, itertools.combinations, itertools.product,
     itertools.takewhile, itertools.dropwhile, itertools.starmap, itertools.compress, itertools.pairwise, itertools.zip_longest}
)
_SMALL = 1 << 53


def encode(value, held):
    """`value` as JSON. Only exact builtin types (and a few of the standard library) are written down; anything else stays
    here, in `held`, and is spoken of by number."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_SMALL < value < _SMALL else {"i": hex(value)}
    if kind is float:
        return value if value == value and value not in (math.inf, -math.inf) else {"f": repr(value)}
    if kind is str:
        return value if value.isascii() or not re.search("[\ud800-\udfff]", value) else {"u": value.encode("utf-8", "surrogatepass").hex()}
    if kind is list:
        return [encode(item, held) for item in value]
    if kind is tuple:
        return {"t": [encode(item, held) for item in value]}
    if kind is dict:
        return {"d": [[encode(key, held), encode(item, held)] for key, item in value.items()]}
    if kind is set:
        return {"s": [encode(item, held) for item in value]}
    if kind is frozenset:
        return {"z": [encode(item, held) for item in value]}
    if kind is bytes:
        return {"b": value.hex()}
    if kind is bytearray:
        return {"y": value.hex()}
    if kind is complex:
        return {"c": [repr(value.real), repr(value.imag)]}
    if kind is range:
        return {"r": [encode(part, held) for part in (value.start, value.stop, value.step)]}
    if kind is fractions.Fraction:
        return {"q": [hex(value.numerator), hex(value.denominator)]}
    if kind is decimal.Decimal:
        return {"m": str(value)}
    if kind is collections.deque:
        return {"k": [encode(item, held) for item in value]}
    if kind in (collections.Counter, collections.OrderedDict, collections.defaultdict):
        return {kind.__name__: [[encode(key, held), encode(item, held)] for key, item in dict.items(value)]}
    if kind is datetime.datetime and value.tzinfo is None or kind in (datetime.date, datetime.time):
        return {kind.__name__: value.isoformat()}
    if kind is datetime.timedelta:
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if kind in (type({}.keys()), type({}.values()), type({}.items())):
        return {"v": [kind.__name__, [encode(item, held) for item in value]]}
    if kind in _ITERATORS:
        items = list(itertools.islice(value, ITERATOR_ITEMS + 1))
        if len(items) > ITERATOR_ITEMS:
            raise _CannotCross(f"an iterator with more than {ITERATOR_ITEMS} items")
        return {"n": [encode(item, held) for item in items]}
    if kind is type and getattr(builtins, value.__name__, None) is value:
        return {"type": value.__name__}
    if held is None:
        raise _CannotCross(f"an object of type {kind.__name__}")
    held.append(value)
    return {"o": len(held) - 1, "type": kind.__name__[:80], "callable": callable(value)}


def decode(value, opaque):
    """The value that `encode` wrote down; `opaque(number, type name, callable)` stands for what stayed behind."""
    kind = type(value)
    if kind is list:
        return [decode(item, opaque) for item in value]
    if kind is not dict:
        return value
    (tag, part), *_ = value.items()
    if tag == "t":
        return tuple([decode(item, opaque) for item in part])
    if tag in ("d", "Counter", "OrderedDict", "defaultdict"):
        pairs = {decode(key, opaque): decode(item, opaque) for key, item in part}
        if tag == "d":
            return pairs
        return collections.defaultdict(None, pairs) if tag == "defaultdict" else getattr(collections, tag)(pairs)
    if tag == "s":
        return {decode(item, opaque) for item in part}
    if tag == "z":
        return frozenset([decode(item, opaque) for item in part])
    if tag == "i":
        return int(part, 16)
    if tag == "f":
        return float(part)
    if tag == "u":
        return bytes.fromhex(part).decode("utf-8", "surrogatepass")
    if tag == "b":
        return bytes.fromhex(part)
    if tag == "y":
        return bytearray.fromhex(part)
    if tag == "c":
        return complex(float(part[0]), float(part[1]))
    if tag == "r":
        return range(*[decode(item, opaque) for item in part])
    if tag == "q":
        return fractions.Fraction(int(part[0], 16), int(part[1], 16))
    if tag == "m":
        return decimal.Decimal(part)
    if tag == "k":
        return collections.deque([decode(item, opaque) for item in part])
    if tag in ("datetime", "date", "time"):
        return getattr(datetime, tag).fromisoformat(part)
    if tag == "type" and isinstance(getattr(builtins, part, None), type):
        return getattr(builtins, part)
    if tag == "timedelta":
        return datetime.timedelta(*part)
    if tag == "n":
        return iter([decode(item, opaque) for item in part])
    if tag == "v":
        name, items = part[0], [decode(item, opaque) for item in part[1]]
        if name == "dict_keys":
            return dict.fromkeys(items).keys()
        return dict(items).items() if name == "dict_items" else dict(enumerate(items)).values()
    if tag == "o":
        return opaque(part, str(value.get("type", "?")), value.get("callable") is True)
    raise _CannotCross(f"a value with the unknown tag {tag!r}")


# --- the solution's side --------------------------------------------------------------------------------------------

_held = []
_solution = None


def _load(request):
    """Runs the solution. It stays loaded for `get`, `attribute` and `call`."""
    global _solution
    _solution = _main_module()
    # A solution is a module here: `if __name__ == "__main__":` holds its own demonstrations.
    _solution.__name__ = "solution"
    ended = _execute(request["program"], _solution)
    _flush()
    return ended


def _answer(make):
    """The value that `make()` gives, or how it failed, as JSON."""
    try:
        return {"value": encode(make(), _held)}
    except SystemExit:
        raise
    except _CannotCross as error:
        return {"unverified": f"the solution returned {error}"}
    except BaseException as error:
        if isinstance(error, RecursionError):
            return {"raised": "RecursionError", "message": ""}
        return {"raised": type(error).__name__, "bases": [base.__name__ for base in type(error).__mro__], "message": str(error)[:500]}


def _get(request):
    name = request["name"]
    if name not in _solution.__dict__:
        return {"missing": True}
    return _answer(lambda: _solution.__dict__[name])


def _attribute(request):
    return _answer(lambda: getattr(_held[request["of"]], request["name"]))


def _assign(request):
    value = decode(request["to"], lambda number, *_: _held[number])
    return _answer(lambda: setattr(_held[request["of"]], request["name"], value))


def _call(request):
    args = [decode(arg, lambda number, *_: _held[number]) for arg in request["args"]]
    kwargs = {name: decode(arg, lambda number, *_: _held[number]) for name, arg in request["kwargs"].items()}
    reply = _answer(lambda: _held[request["of"]](*args, **kwargs))
    if request["effects"]:
        try:
            reply["args"] = [encode(arg, _held) for arg in args]
        except _CannotCross:
            pass
    return reply


# --- the test's side ------------------------------------------------------------------------------------------------


class Unverifiable(BaseException):
    """The test needs something that cannot be had without trusting the solution."""


class SolutionDied(BaseException):
    """The solution's instance is gone: a limit, an exit, a trap."""


class SolutionError(Exception):
    """The solution raised an exception of a class of its own."""


def _ask(request):
    reply = json.loads(wit_world.call_out(json.dumps(request).encode("utf-8")))
    if "dead" in reply:
        raise SolutionDied(reply["dead"])
    if "unverified" in reply:
        raise Unverifiable(str(reply["unverified"]))
    if "raised" in reply:
        raise _rebuilt(reply)
    return reply


def _rebuilt(reply):
    """The builtin exception that the solution raised; the closest builtin base, if the class is its own."""
    names = [reply["raised"], *reply.get("bases", [])]
    for name in names:
        found = getattr(builtins, str(name), None)
        if isinstance(found, type) and issubclass(found, Exception):
            if found is Exception:
                break
            try:
                return found(str(reply.get("message", "")))
            except TypeError:
                break
    return SolutionError(f"{reply['raised']}: {reply.get('message', '')}")


def _cannot(operation):
    def method(self, *_args, **_kwargs):
        raise Unverifiable(f"{operation} of an object of the solution's own type {object.__getattribute__(self, '_type')}")
    return method


class Remote:
    """An object that stayed in the solution's instance. It can be called, asked for attributes and handed back; nothing
    that would let it take part in a comparison is allowed."""

    __slots__ = ("_number", "_type")

    def __init__(self, number, type_name, _callable):
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_type", type_name)

    def __call__(self, *args, **kwargs):
        return _remote_call(self, False, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise Unverifiable(f"{name} of an object of the solution's own type {object.__getattribute__(self, '_type')}")
        return decode(_ask({"op": "attribute", "of": object.__getattribute__(self, "_number"), "name": name})["value"], Remote)

    def __setattr__(self, name, value):
        _ask({"op": "assign", "of": object.__getattribute__(self, "_number"), "name": name, "to": _encode_argument(value)})

    __hash__ = _cannot("the hash")


for _operation in ("eq ne lt le gt ge bool len iter next contains getitem setitem delitem str repr format int float complex index add radd sub "
                   "rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow and rand or ror xor rxor neg pos abs invert round "
                   "enter exit reversed bytes divmod iadd isub imul matmul lshift rshift trunc floor ceil").split():
    setattr(Remote, f"__{_operation}__", _cannot(_operation))


def _encode_argument(value):
    """Arguments are copies; objects of the solution go back by number."""
    if type(value) is Remote:
        return {"o": object.__getattribute__(value, "_number")}
    kind = type(value)
    if kind in (list, tuple, set, frozenset, dict) or kind in (collections.deque, collections.Counter, collections.OrderedDict):
        held = []
        coded = encode(value, held)
        if all(type(item) is Remote for item in held):
            return _renumbered(coded, held)
        raise Unverifiable(f"an argument holds an object of type {type(held[0]).__name__}, which cannot be handed over")
    try:
        return encode(value, None)
    except _CannotCross as error:
        raise Unverifiable(f"an argument is {error}, which cannot be handed over") from None


def _renumbered(coded, held):
    if type(coded) is list:
        return [_renumbered(item, held) for item in coded]
    if type(coded) is dict:
        if "o" in coded:
            return {"o": object.__getattribute__(held[coded["o"]], "_number")}
        return {tag: _renumbered(part, held) for tag, part in coded.items()}
    return coded


def _remote_call(function, effects, args, kwargs):
    reply = _ask({
        "op": "call", "of": object.__getattribute__(function, "_number"), "effects": effects,
        "args": [_encode_argument(arg) for arg in args], "kwargs": {name: _encode_argument(arg) for name, arg in kwargs.items()},
    })
    if effects and "args" in reply:
        for mine, coded in zip(args, reply["args"]):
            theirs = decode(coded, Remote)
            if type(mine) is type(theirs) and type(mine) in (list, bytearray):
                mine[:] = theirs
            elif type(mine) is type(theirs) and type(mine) in (dict, set):
                mine.clear()
                mine.update(theirs)
    return decode(reply["value"], Remote)


def _for_effect(function, *args, **kwargs):
    """A call that stands alone as a statement is made for what it does to its arguments."""
    if type(function) is Remote:
        return _remote_call(function, True, args, kwargs)
    return function(*args, **kwargs)


class _Effects(ast.NodeTransformer):
    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            call = node.value
            call.args.insert(0, call.func)
            call.func = ast.Name("__for_effect__", ast.Load())
            ast.fix_missing_locations(node)
        return node


def _names(tree):
    """Names that `tree` reads, and names that it binds anywhere."""
    read, bound = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read, bound


def _entry_called(tree):
    """What the first assertion calls, as `sum` in `assert sum(10, 15) == 6`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            test = node.test.left if isinstance(node.test, ast.Compare) else node.test
            if isinstance(test, ast.Call) and isinstance(test.func, ast.Name):
                return test.func.id
    return None


def same_answer(found, expected):
    """Equal as JSON would have it: tuples are lists, and numbers are equal up to rounding in the last places."""
    if type(found) in (list, tuple) and type(expected) in (list, tuple):
        return len(found) == len(expected) and all(map(same_answer, found, expected))
    if type(found) is dict and type(expected) is dict:
        if len(found) != len(expected):
            return False
        named = {str(key): item for key, item in found.items()}
        return all(str(key) in named and same_answer(named[str(key)], item) for key, item in expected.items())
    if type(found) is float or type(expected) is float:
        numbers_only = type(found) in (int, float) and type(expected) in (int, float)
        return numbers_only and (found == expected or math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12))
    return type(found) is type(expected) and found == expected


_HELPERS = (math, collections, itertools, functools, copy, fractions, decimal, datetime, typing)


def _standard(name, tree):
    """The standard library's own `name`, which tests use without importing it: a module, or a function or class."""
    if name in sys.modules and not name.startswith("_") and not _calls(tree, {name}):
        return sys.modules[name]
    for module in _HELPERS:
        if name in getattr(module, "__all__", ()) or module is math and hasattr(math, name):
            return getattr(module, name)
    return None


def _calls(node, names):
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in names]


def _lets_solution_judge(tree, names):
    """Whether the solution would be asked if its own answer is right: `assert same(f(x), 3)` where `same` is the solution's."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assert):
            continue
        test = node.test
        while isinstance(test, ast.UnaryOp):
            test = test.operand
        if isinstance(test, ast.Compare):
            others = [test.left, *test.comparators]
            if not any(isinstance(other, ast.Constant) and type(other.value) is bool for other in others):
                continue
            test = next((other for other in others if isinstance(other, ast.Call)), test)
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id in names:
            arguments = [*test.args, *(keyword.value for keyword in test.keywords)]
            if len(arguments) > 1 and any(_calls(argument, names) for argument in arguments):
                return True
    return False


def _resolve(tree, namespace, entry_point):
    """Puts into `namespace` what the test reads and nobody defines: the solution's functions and classes, and what belongs to
    the standard library. A name of the standard library is the solution's only if the test calls nothing else."""
    read, bound = _names(tree)
    free = {name for name in read - bound if name not in namespace}
    if entry_point is not None:
        free -= {"candidate", entry_point}
    unknown = {name for name in free if not hasattr(builtins, name)}
    remote = {name for name in unknown if _standard(name, tree) is None}
    if entry_point is not None:
        remote.add(entry_point)
    elif not _calls(tree, remote):
        # The function under test may be called as something in the standard library is: `gcd`, or even `sum`.
        remote |= {name for name in unknown if _calls(tree, {name})}
        if not remote and (name := _entry_called(tree)) in free:
            remote.add(name)
    for name in sorted(unknown - remote):
        namespace[name] = _standard(name, tree)
    if _lets_solution_judge(tree, remote | ({"candidate"} if entry_point is not None else set())):
        raise Unverifiable("the test would let the solution judge itself")
    for name in sorted(remote):
        reply = _ask({"op": "get", "name": name})
        if "value" in reply:
            value = decode(reply["value"], Remote)
            if type(value) is not Remote:
                raise Unverifiable(f"the test reads {name}, a value that the solution defines")
            namespace[name] = value
            if name == entry_point:
                namespace["candidate"] = value


def _judge(request):
    """Runs one test against the solution in the other instance."""
    namespace = {"__name__": "judge", "__builtins__": builtins, "__for_effect__": _for_effect, "__same_answer__": same_answer}
    warnings.simplefilter("ignore")
    try:
        try:
            setup = compile(request["setup"], "<setup>", "exec", dont_inherit=True)
            tree = ast.parse(request["test"], "<test>")
        except (SyntaxError, ValueError) as error:
            return {"verdict": "unverified", "reason": f"the test does not parse: {error}"}
        try:
            exec(setup, namespace)
        except Exception as error:
            return {"verdict": "unverified", "reason": f"the test's setup failed: {type(error).__name__}: {error}"}
        entry_point = request.get("entry_point")
        if entry_point is not None:
            namespace.pop(entry_point, None)
        _resolve(tree, namespace, entry_point)
        test = compile(_Effects().visit(tree), "<test>", "exec", dont_inherit=True)
        exec(test, namespace)
        return {"verdict": "passed"}
    except SolutionDied as error:
        return {"verdict": "failed", "reason": str(error)}
    except Unverifiable as error:
        return {"verdict": "unverified", "reason": str(error)[:500]}
    except AssertionError as error:
        return {"verdict": "failed", "reason": f"assertion failed {str(error)[:300]}".rstrip()}
    except BaseException as error:
        return {"verdict": "failed", "reason": f"{type(error).__name__}: {str(error)[:300]}"}


_OPERATIONS = {"run": _run, "load": _load, "get": _get, "attribute": _attribute, "assign": _assign, "call": _call, "judge": _judge}


class WitWorld(wit_world.WitWorld):
    def handle(self, request: bytes) -> bytes:
        request = json.loads(request)
        try:
            reply = _OPERATIONS[request["op"]](request)
        except SystemExit as error:
            reply = {"end": "exited", "code": _exit_code(error.code), "dead": "the solution called exit"}
        try:
            _flush()
        except BaseException:
            pass
        reply = json.dumps(reply).encode("utf-8")
        return reply if len(reply) <= VALUE_BYTES else b'{"unverified":"the solution returned a value that is too large"}'


# --- before the snapshot --------------------------------------------------------------------------------------------


def _warm_up():
    """Runs ordinary programs, a solution and a test, with outputs that go nowhere: what they make the interpreter fill and specialise
    on first use is in the snapshot then, and need not be written again in every instance."""
    for _ in range(20):
        sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO(b"4\n5\n6 7\n"), newline="\n")
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.BufferedWriter(io.BytesIO()), encoding="utf-8", errors="surrogateescape")
        sys.stderr = sys.__stderr__ = io.TextIOWrapper(io.BufferedWriter(io.BytesIO()), encoding="utf-8", errors="backslashreplace")
        for request in snapshot.REQUESTS:
            WitWorld.handle(None, json.dumps(request).encode("utf-8"))
    _held.clear()
    linecache.cache.clear()


# The last lines before the snapshot.
_warm_up()
_open_streams()
_main_module()
random.seed(0)
warnings.resetwarnings()
warnings.filters[:] = []
warnings.simplefilter("ignore", DeprecationWarning)
snapshot.settle()
