"""What runs inside the sandbox: programs, the solution's side of a test, and the test's side.

Nothing here guards anything. A program shares its interpreter with these files and may change all of them; what leaves the
instance is therefore only ever what the program *claims*. Safety comes from what is absent: a solution's instance never
holds a test or an expected value, and the instance that holds them (`judge`) never runs a line of the solution.

- `crossing`: values on their way between the two instances
- `solution_side`: does what the tests ask of the solution
- `test_side`: runs a test; `remote`: what it holds of the solution; `analysis`: what its text says;
  `self_judging`: whether it would let the solution judge itself; `pytest_standin`: pytest's part
- `standins`: threads and processes that are not there; `files`: files in memory
- `snapshot`: what makes the image of the memory cheap
- this file: programs, requests, and what is done before the snapshot

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

for _name in ("socket", "ssl", "zoneinfo", "tomllib", "zipfile", "http", "urllib.request", "sqlite3", "_pydatetime",
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

import analysis
import pytest_standin
import snapshot
import solution_side
import standins
import test_side
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
# Frames of a traceback that are written, the last ones, and characters of it: a deep recursion is no flood of output.
TRACEBACK_FRAMES = 200
TRACEBACK_LENGTH = 8000


def _stream(fd, mode, errors):
    raw = io.FileIO(fd, mode, closefd=False)
    if mode == "rb":
        return io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8", errors=errors, newline="\n")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors=errors)


def _named_stream(fd, mode, errors):
    stream = _stream(fd, mode, errors)
    # As `open` names it; programs that read by descriptor look at it.
    stream.mode = "r" if fd == 0 else "w"
    return stream


def _open_streams():
    sys.stdin = sys.__stdin__ = _named_stream(0, "rb", "surrogateescape")
    sys.stdout = sys.__stdout__ = _named_stream(1, "wb", "surrogateescape")
    sys.stderr = sys.__stderr__ = _named_stream(2, "wb", "backslashreplace")


def _flush():
    """What any interpreter does at its end, also where a program has put something else in place of an output, or nothing."""
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None), sys.__stdout__, sys.__stderr__):
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
    """The traceback without the harness's own frames, on standard error; of a long one the beginning and the end."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    said = "".join(traceback.format_exception(type(error), error, frames, limit=-TRACEBACK_FRAMES))
    if len(said) > TRACEBACK_LENGTH:
        half = TRACEBACK_LENGTH // 2
        said = f"{said[:half]}\n  [{len(said) - 2 * half} characters left out]\n{said[-half:]}"
    print(said, end="", file=sys.stderr)
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
        if "setrecursionlimit" in text:
            standins.results_without_c_stack()
        exec(compile(text, PROGRAM_FILE, "exec", dont_inherit=True), module.__dict__)
        ended = {"end": "finished"}
    except SystemExit as error:
        ended = {"end": "exited", "code": _exit_code(error.code)}
    except BaseException as error:
        ended = {"end": "uncaught", "exception": _report(error)}
        cannot = solution_side.not_its_fault(error)
        if cannot is not None:
            ended["cannot"] = cannot
    return ended


def _run(request):
    sys.argv[:] = ["program.py"]
    module = _main_module()
    ended = _execute(request["program"], module)
    try:
        atexit._run_exitfuncs()
        _flush()
        # What the program leaves behind is finalised, as at the end of any interpreter.
        module.__dict__.clear()
    except BaseException:
        pass
    _flush()
    return ended


# --- solutions and tests --------------------------------------------------------------------------------------------


def _load(request):
    """Runs the solution, after the code of its prompt. It stays loaded for the requests of the tests' side."""
    module = solution_side.module = _main_module()
    # A solution is a module here: `if __name__ == "__main__":` holds its own demonstrations.
    module.__name__ = "solution"
    sys.modules["solution"] = module
    # Solutions often bring tests of their own, which are not for here.
    sys.modules["pytest"] = pytest_standin
    unittest.main = lambda *_, **__: None
    for statement in request.get("prelude", ()):
        try:
            exec(compile(statement, "<prompt>", "exec", dont_inherit=True), module.__dict__)
        except BaseException:
            pass  # a part that needs what is not there: whoever uses it finds out
    solution_side.border.classes.update({name: module.__dict__.get(name) for name in request.get("classes", ())})
    try:
        for name, thing in analysis.usual_imports(ast.parse(request["program"])).items():
            module.__dict__.setdefault(name, thing)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass  # what follows says so
    ended = _execute(request["program"], module)
    solution_side.border.classes.update({name: module.__dict__.get(name) for name in request.get("classes", ())})
    _flush()
    return ended


_OPERATIONS = {"run": _run, "load": _load, "prelude": test_side.prelude, "judge": test_side.judge}


class WitWorld(wit_world.WitWorld):
    def handle(self, request: bytes) -> bytes:
        request = json.loads(request)
        try:
            reply = _OPERATIONS.get(request["op"], solution_side.serve)(request)
        except SystemExit as error:
            reply = {"end": "exited", "code": _exit_code(error.code), "dead": "the solution called exit"}
        except RecursionError:
            reply = {"unverified": "the solution left no room on the stack"}
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
    main = unittest.main
    for _ in range(20):
        sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO(b"4\n5\n6 7\n"), newline="\n")
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.BufferedWriter(io.BytesIO()), encoding="utf-8", errors="surrogateescape")
        sys.stderr = sys.__stderr__ = io.TextIOWrapper(io.BufferedWriter(io.BytesIO()), encoding="utf-8", errors="backslashreplace")
        for request in snapshot.REQUESTS:
            WitWorld.handle(None, json.dumps(request).encode("utf-8"))
    solution_side.reset()
    linecache.cache.clear()
    unittest.main = main
    for name in ("pytest", "solution"):
        sys.modules.pop(name, None)


def _make_ready():
    """The last steps before the snapshot."""
    asyncio.EventLoop = asyncio.SelectorEventLoop = _Loop
    asyncio.unix_events._DefaultEventLoopPolicy._loop_factory = _Loop
    standins.install()
    _warm_up()
    _open_streams()
    _main_module()
    random.seed(0)
    warnings.resetwarnings()
    warnings.filters[:] = []
    warnings.simplefilter("ignore", DeprecationWarning)
    snapshot.settle()


if sys.platform == "wasi":
    _make_ready()
