"""The side of a solution: it runs the solution, and does with its functions and objects what the tests' side asks for.

Nothing here is to be trusted: the solution shares this interpreter, and what leaves it is what the solution claims.
"""

import asyncio
import builtins
import contextlib
import enum
import functools
import inspect
import io
import json
import random
import sys
import types
import warnings

import files
import wit_world
from crossing import Border, CannotCross, standard_exception

# What an object can do by its class, of which the tests' side must know.
SPECIAL = """__eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ __len__ __iter__ __next__ __contains__ __getitem__ __setitem__ __delitem__
__str__ __repr__ __format__ __int__ __float__ __complex__ __index__ __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__
__floordiv__ __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __and__ __rand__ __or__ __ror__ __xor__ __rxor__ __neg__ __pos__ __abs__ __invert__
__round__ __enter__ __exit__ __reversed__ __bytes__ __divmod__ __iadd__ __isub__ __imul__ __matmul__ __lshift__ __rshift__ __trunc__ __floor__
__ceil__ __call__ __await__ __aiter__ __anext__ __aenter__ __aexit__ __missing__ __get__""".split()
_UNTOLD = {object, type, Exception, BaseException, list, dict, set, str, int, float, tuple, bytes, frozenset, complex}
_USUAL_DEPTH = sys.getrecursionlimit()
# Items of an iterator that are taken ahead, at most.
_AHEAD = 64


class _Held:
    """Objects that stay here, by number."""

    def __init__(self):
        self.objects, self.numbers, self.told = [], {}, set()

    def number(self, value):
        found = self.numbers.get(id(value))
        if found is None:
            found = self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return found


held = _Held()
border = Border(-1)
module = None
# Functions and objects of the tests' side: their stand-ins here by number, and numbers by identity.
_far, _far_numbers, _far_errors = {}, {}, {}


def reset():
    """Forgets everything, as before the first solution."""
    global module
    held.__init__()
    border.__init__(-1)
    module = None
    files.reset()
    for table in (_far, _far_numbers, _far_errors):
        table.clear()


def _own_class(kind):
    return str(getattr(kind, "__module__", None)).split(".")[0] not in sys.stdlib_module_names


def _class(kind):
    """What is to be known of a class, once."""
    number = held.number(kind)
    if number in held.told:
        return {"k": number}
    held.told.add(number)
    told = {"name": kind.__name__[:80], "own": _own_class(kind), "enum": issubclass(kind, enum.Enum)}
    told["has"] = [name for name in SPECIAL if any(name in owner.__dict__ for owner in kind.__mro__ if owner not in _UNTOLD)]
    told["container"] = next((base.__name__ for base in (list, dict, set) if issubclass(kind, base)), None)
    told["parents"] = [held.number(owner) for owner in kind.__mro__]
    if issubclass(kind, BaseException):
        told["bases"] = [
            _class(base) if _own_class(base) else {"std": [base.__module__, base.__qualname__]} for base in kind.__bases__
        ]
    return {"k": number, "class": told}


def describe(value):
    """An object that stays here."""
    far = _far_numbers.get(id(value))
    if far is not None:
        return {"far": far}
    number, kind = held.number(value), type(value)
    if isinstance(value, type):
        return {"o": number, "is": "class", **_class(value)}
    if kind is types.GeneratorType or kind is types.CoroutineType or kind is types.AsyncGeneratorType:
        return {"o": number, "is": kind.__name__}
    if hasattr(kind, "__next__") and hasattr(kind, "__iter__") and not _own_class(kind):
        return {"o": number, "is": "iterator"}
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial, functools._lru_cache_wrapper)):
        told = {"o": number, "is": "function", "name": str(getattr(value, "__name__", "function"))[:80]}
        return {**told, "async": True} if inspect.iscoroutinefunction(value) else told
    return {"o": number, "is": "object", **_class(kind)}


def stand_in(coded):
    """An object that the tests' side speaks of: one of this side's, or one of its own."""
    if "o" in coded:
        return held.objects[coded["o"]]
    if "far" not in coded:
        raise CannotCross("a value of an unknown form")
    number = coded["far"]
    if number not in _far:
        made = _far_object(number) if coded.get("object") else _far_function(number, coded)
        _far[number] = made
        _far_numbers[id(made)] = number
    return _far[number]


def _ask_tests(request):
    """Asks the tests' side for something while it waits for an answer from here, and serves what it asks for meanwhile."""
    message = _sent(request)
    while True:
        reply = json.loads(wit_world.call_out(json.dumps(message).encode("utf-8")))
        if "op" not in reply:
            break
        message = serve(reply)
    _arrived(reply)
    if "raised" in reply:
        error = _far_error(reply)
        _far_errors[id(error)] = (error, reply["number"])
        raise error
    return border.decode(reply["value"])


def _far_error(reply):
    kind = standard_exception(reply["module"], reply["raised"])
    if kind is None:
        return RuntimeError(reply["text"])
    try:
        return kind(*border.decode(reply["args"]))
    except Exception:
        return RuntimeError(reply["text"])


def _far_function(number, coded):
    def call(*args, **kwargs):
        return _ask_tests({"callback": number, "args": border.encode(list(args)), "kwargs": border.encode(kwargs)})

    call.__name__ = call.__qualname__ = str(coded.get("name", "function"))
    call.__doc__ = coded.get("doc")
    if coded.get("async"):
        async def later(*args, **kwargs):
            return call(*args, **kwargs)
        later.__name__ = later.__qualname__ = call.__name__
        return later
    return call


def _far_object(number):
    class FarObject:
        """An object of the tests."""
        __slots__ = ()

        def __getattr__(self, name):
            return _ask_tests({"callback": number, "attribute": name})

        def __setattr__(self, name, value):
            _ask_tests({"callback": number, "assign": name, "to": border.encode(value)})

    def special(name):
        def method(self, *args):
            return _ask_tests({"callback": number, "special": name, "args": border.encode(list(args)), "kwargs": border.encode({})})
        return method

    for name in "call len iter next getitem setitem contains str repr bool eq lt gt le ge hash add enter exit int float".split():
        setattr(FarObject, f"__{name}__", special(f"__{name}__"))
    return FarObject()


# --- requests -------------------------------------------------------------------------------------------------------


def _sent(message):
    message["changes"] = border.changes()
    changed = files.changes()
    if changed:
        message["files"] = changed
    return message


def _arrived(message):
    border.apply(message.get("changes", ()))
    border.forget(message.get("gone", ()))
    files.apply(message.get("files", {}))


def not_its_fault(error):
    """Why an exception may be that of this Python, which is one of 32 bits with the standard library only, and not the program's."""
    if isinstance(error, ImportError) and error.name and isinstance(error, ModuleNotFoundError):
        return f"it needs the module {str(error.name)[:80]}, which this Python does not have"
    text = str(error.args[0]) if error.args and type(error.args[0]) is str else ""
    if isinstance(error, OverflowError) and ("C ssize_t" in text or "C long" in text or "index-sized" in text) or "sys.maxsize" in text:
        return f"it needs a Python of 64 bits: {text[:100]}"
    if isinstance(error, RecursionError) and sys.getrecursionlimit() > _USUAL_DEPTH:
        return "it recurses deeper than this Python can, after raising the limit"
    return None


def _raised(error):
    """How the tests' side is told of an exception."""
    cannot = not_its_fault(error)
    if cannot is not None:
        return {"unverified": f"the solution: {cannot}"}
    known = _far_errors.get(id(error))
    if known is not None:
        return {"again": known[1]}
    kind = type(error)
    if kind is RecursionError:
        return {"raised": {"std": ["builtins", "RecursionError"]}, "args": {"t": []}, "text": ""}
    told = _class(kind) if _own_class(kind) else {"std": [kind.__module__, kind.__qualname__]}
    try:
        args, attributes = border.encode(tuple(error.args)), border.encode(dict(vars(error)))
    except (CannotCross, RecursionError):
        args, attributes = {"t": []}, None
    try:
        text = str(error)[:2000]
    except Exception:
        text = ""
    return {"raised": told, "args": args, "vars": attributes, "text": text}


@contextlib.contextmanager
def _surroundings(request, reply):
    """What a test has put in place of the console, for the time of a call."""
    with contextlib.ExitStack() as stack:
        if "stdin" in request:
            sys.stdin, before = io.StringIO(request["stdin"]), sys.stdin
            stack.callback(setattr, sys, "stdin", before)
        for name, number in request.get("builtins", {}).items():
            before = getattr(builtins, name)
            setattr(builtins, name, stand_in({"far": number, "name": name}))
            stack.callback(setattr, builtins, name, before)
        if request.get("capture"):
            out = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            err = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.callback(lambda: reply.update(out=out.getvalue(), err=err.getvalue()))
        if request.get("warnings"):
            seen = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            stack.callback(lambda: reply.update(warned=[
                [one.category.__name__, str(one.message)] for one in seen
            ]))
        yield
        if "stdin" in request:
            reply["stdin"] = sys.stdin.read()


def _answer(request, make):
    """The value that `make()` gives, or how it failed."""
    reply = {}
    try:
        with _surroundings(request, reply):
            value = make()
        reply["value"] = border.encode(value)
    except CannotCross as error:
        reply["unverified"] = f"the solution returned {error}"
    except SystemExit as error:
        reply["exited"] = error.code if type(error.code) is int or error.code is None else str(error.code)
    except BaseException as error:
        reply.update(_raised(error))
        reply.pop("value", None)
    return reply


def _get(request):
    name = request["name"]
    if name not in module.__dict__:
        return {"missing": True}
    value = module.__dict__[name]
    if isinstance(value, types.ModuleType):
        return {"standard": [value.__name__, ""]}
    if isinstance(value, (type, types.BuiltinFunctionType, types.FunctionType)) and not _own_class(value):
        return {"standard": [value.__module__, value.__qualname__]}
    return _answer({}, lambda: value)


def _next(request):
    """The next items of an iterator: as many as were asked for, or up to its end."""
    source, items, reply = held.objects[request["of"]], [], {}

    def take():
        if "throw" in request:
            name, args = request["throw"]
            items.append(source.throw(standard_exception("builtins", name)(*border.decode(args))))
        elif request.get("send") is not None:
            items.append(source.send(border.decode(request["send"])))
        for _ in range(min(request["count"], _AHEAD) - len(items)):
            items.append(next(source))

    try:
        with _surroundings(request, reply):
            take()
    except StopIteration as error:
        reply["ended"] = _answer({}, lambda: error.value)
    except BaseException as error:
        failed = _raised(error)
        if "unverified" in failed:
            return failed
        reply["failed"] = failed
    try:
        reply["items"] = [border.encode(item) for item in items]
    except CannotCross as error:
        reply = {"unverified": f"the solution gave {error}"}
    return reply


def _call(request):
    args, kwargs = border.decode(request["args"]), border.decode(request["kwargs"])
    return _answer(request, lambda: held.objects[request["of"]](*args, **kwargs))


def _special(request):
    """A method that the interpreter calls by itself, looked up in the class as it does."""
    value, name, args = held.objects[request["of"]], request["name"], border.decode(request["args"])
    if name == "__exit__" and args and type(args[0]) is list:
        kind, parts = args[0]
        error = (standard_exception("builtins", kind) or Exception)(*parts)
        args = [type(error), error, None]
    if name in ("__str__", "__repr__", "__format__", "__bool__", "__iter__", "__len__"):
        plain = {"__str__": str, "__repr__": repr, "__format__": format, "__bool__": bool, "__iter__": iter, "__len__": len}[name]
        return _answer(request, lambda: plain(value, *args))
    return _answer(request, lambda: getattr(type(value), name)(value, *args))


def _await(request):
    value = held.objects[request["of"]]

    async def wait():
        return await value

    return _answer(request, lambda: asyncio.run(wait()))


def _async_items(request):
    async def take():
        return [item async for item in held.objects[request["of"]]]

    return _answer(request, lambda: asyncio.run(take()))


def _content(request):
    """What a list, dictionary or set of a class of the solution's own holds, past the methods of that class."""
    value = held.objects[request["of"]]
    base = next(base for base in (list, dict, set) if isinstance(value, base))
    return _answer({}, lambda: {list: lambda: list.copy(value), dict: lambda: dict(dict.items(value)), set: lambda: set(set.__iter__(value))}[base]())


def _structure(request):
    """Two objects, taken apart: whether they are of one class and hold the same, and how much they hold."""
    seen = set()

    def same(one, other):
        if one is other:
            return True
        if type(one) is not type(other):
            return False
        if (id(one), id(other)) in seen:
            return True
        seen.add((id(one), id(other)))
        if isinstance(one, (list, tuple)):
            return len(one) == len(other) and all(map(same, one, other))
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        if _own_class(type(one)):
            mine, theirs = _holds(one), _holds(other)
            return mine.keys() == theirs.keys() and all(same(mine[key], theirs[key]) for key in mine)
        return bool(one == other)

    def _holds(value):
        slots = [name for owner in type(value).__mro__ for name in getattr(owner, "__slots__", ()) if hasattr(value, name)]
        return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots}}

    one, other = held.objects[request["of"]], held.objects[request["other"]]
    return _answer({}, lambda: [same(one, other), len(_holds(one)), bool(one == other)])


def _instance(request):
    value, owner = held.objects[request["of"]], held.objects[request["class"]]
    return _answer({}, lambda: isinstance(value, owner))


def _subclass(request):
    return _answer({}, lambda: issubclass(held.objects[request["of"]], held.objects[request["class"]]))


def _attribute(request):
    return _answer(request, lambda: getattr(held.objects[request["of"]], request["name"]))


def _assign(request):
    value = border.decode(request["to"])
    return _answer(request, lambda: setattr(held.objects[request["of"]], request["name"], value))


def _remove(request):
    return _answer(request, lambda: delattr(held.objects[request["of"]], request["name"]))


def _seed(request):
    return _answer({}, lambda: random.seed(border.decode(request["to"])))


OPERATIONS = {
    "get": _get, "attribute": _attribute, "assign": _assign, "remove": _remove, "call": _call, "special": _special, "next": _next, "await": _await,
    "async_items": _async_items, "content": _content, "structure": _structure, "instance": _instance, "subclass": _subclass, "seed": _seed,
}


def serve(request):
    """The reply to one request of the tests' side."""
    _arrived(request)
    reply = OPERATIONS[request["op"]](request)
    try:
        return _sent(reply)
    except (CannotCross, RecursionError) as error:
        return {"unverified": f"the solution made {error} of an argument"}


border.describe, border.stand_in = describe, stand_in
