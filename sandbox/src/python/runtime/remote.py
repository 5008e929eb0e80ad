"""What the tests' side holds of a solution: stand-ins for its functions, classes and objects.

A stand-in can be called, asked for attributes and handed back. What would make the solution the judge of its own answer is not allowed:
an object of a class that the test does not name takes no part in comparisons and gives no truth.
"""

import builtins
import io
import json
import sys
import types
import warnings

import files
import wit_world
from crossing import Border, CannotCross, standard_exception


class Unverifiable(BaseException):
    """The test needs something that cannot be had without trusting the solution."""


class BrokenTest(BaseException):
    """The test cannot be carried out, whatever the solution is."""


class SolutionDied(BaseException):
    """The solution's instance is gone: a limit, an exit, a trap."""


class SolutionError(Exception):
    """The solution raised an exception of a class of its own, or one that means something else to a test."""


_PATCHABLE = ("input", "print", "open")
_ORIGINAL = {name: getattr(builtins, name) for name in _PATCHABLE}
_VALUE = set("""__len__ __iter__ __next__ __getitem__ __setitem__ __delitem__ __str__ __repr__ __format__ __int__ __float__ __complex__ __index__
__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __and__
__rand__ __or__ __ror__ __xor__ __rxor__ __neg__ __pos__ __abs__ __invert__ __round__ __reversed__ __bytes__ __divmod__ __iadd__ __isub__ __imul__
__matmul__ __lshift__ __rshift__ __trunc__ __floor__ __ceil__ __contains__ __lt__ __le__ __gt__ __ge__""".split())
# Methods of builtin types that answer yes or no: a test that calls one takes the object for a builtin value.
_PREDICATES = {name for kind in (str, int, float, set, bytes, frozenset) for name in dir(kind)
               if name.startswith("is") or name in ("startswith", "endswith")}
_TOLD_ATTRIBUTES = ("__name__", "__doc__", "__qualname__", "__module__", "__dict__", "__annotations__", "__wrapped__", "__defaults__",
                    "__members__", "__slots__", "__dataclass_fields__", "__isabstractmethod__", "__abstractmethods__", "__code__", "__mro__", "__bases__")


class Session:
    """What one test knows of one solution."""

    def __init__(self):
        self.border = Border(1)
        self.border.describe, self.border.stand_in = self.describe, self.stand_in
        self.remotes, self.kinds, self.told, self.errors = {}, {}, {}, {}
        self.far, self.far_numbers, self.raised = {}, {}, {}
        self.named = set()
        self.asked = 0
        self.trouble = None
        self.warns = self.exits = self.stops = False
        self.stdout, self.stderr = sys.stdout, sys.stderr
        self.stdin = sys.stdin

    # --- messages ---

    def fail(self, error):
        """Raises `error`, and remembers it in case that the test catches it."""
        if self.trouble is None:
            self.trouble = error
        raise error

    def ask(self, op, **request):
        """Sends a request; the reply, without an exception of the solution's in it."""
        self.asked += 1
        request["op"] = op
        reply = self._exchange(request)
        while "callback" in reply:
            reply = self._exchange(self._called_back(reply))
        if "unverified" in reply:
            self.fail(Unverifiable(str(reply["unverified"])))
        if "exited" in reply:
            if not self.exits:
                self.fail(SolutionDied("the solution called exit"))
            raise SystemExit(reply["exited"])
        if "again" in reply and reply["again"] in self.raised:
            raise self.raised[reply["again"]]
        if "raised" in reply:
            ends = self.stops or op == "special" and request["name"] == "__next__"
            raise self.rebuilt(reply, ends)
        return reply

    def _exchange(self, message):
        border = self.border
        message["changes"] = border.changes()
        message["gone"] = border.unused()
        border.forget(message["gone"])
        changed = files.changes()
        if changed:
            message["files"] = changed
        sent = json.dumps(message).encode("utf-8")
        # The host starts what may call back in a thread of its own: the space says so.
        reply = json.loads(wit_world.call_out(b" " + sent if self.far else sent))
        if type(reply) is not dict:
            self.fail(Unverifiable("the solution broke its harness"))
        if "dead" in reply:
            self.fail(SolutionDied(str(reply["dead"])))
        try:
            border.apply(reply.get("changes", ()))
            files.apply(reply.get("files", {}))
        except (CannotCross, TypeError, ValueError, AttributeError, RecursionError) as error:
            self.fail(Unverifiable(f"the solution sent what is no value: {error}"))
        if reply.get("out"):
            sys.stdout.write(str(reply["out"]))
        if reply.get("err"):
            sys.stderr.write(str(reply["err"]))
        if "stdin" in reply and isinstance(sys.stdin, io.StringIO):
            sys.stdin.seek(0)
            sys.stdin.truncate()
            sys.stdin.write(str(reply["stdin"]))
            sys.stdin.seek(0)
        for name, text in reply.get("warned", ()):
            kind = getattr(builtins, name, UserWarning)
            warnings.warn(text, kind if isinstance(kind, type) and issubclass(kind, Warning) else UserWarning, stacklevel=4)
        return reply

    def surroundings(self):
        """What the test has put in place of the console, which the solution is to meet when it is called."""
        told = {}
        if sys.stdin is not self.stdin and isinstance(sys.stdin, io.StringIO):
            told["stdin"] = sys.stdin.read()
        patched = [name for name in _PATCHABLE if getattr(builtins, name) is not _ORIGINAL[name]]
        if patched:
            told["builtins"] = {name: self.far_number(getattr(builtins, name)) for name in patched}
        if sys.stdout is not self.stdout or sys.stderr is not self.stderr:
            told["capture"] = True
        if self.warns:
            told["warnings"] = True
        return told

    # --- what crosses ---

    def encode(self, value):
        try:
            return self.border.encode(value)
        except (CannotCross, RecursionError) as error:
            self.fail(BrokenTest(f"the test hands over {error or 'a value that is nested too deep'}"))

    def decode(self, coded):
        try:
            return self.border.decode(coded)
        except (CannotCross, TypeError, ValueError, KeyError, IndexError, AttributeError, RecursionError) as error:
            self.fail(Unverifiable(f"the solution sent what is no value: {error}"))

    def describe(self, value):
        """An object of the tests, or one of the solution's that goes back."""
        number = number_of(value)
        if number is not None:
            return {"o": number}
        if isinstance(value, (types.ModuleType, types.FrameType, types.TracebackType, types.CodeType)):
            raise CannotCross(f"a {type(value).__name__}")
        if isinstance(value, type) and value in self.errors.values():
            return {"o": next(number for number, kind in self.errors.items() if kind is value)}
        told = {"far": self.far_number(value)}
        if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)):
            told["name"] = str(getattr(value, "__name__", "function"))
            told["async"] = bool(getattr(getattr(value, "__code__", None), "co_flags", 0) & 0x80)
            told["doc"] = getattr(value, "__doc__", None)
        else:
            told["object"] = True
        return told

    def far_number(self, value):
        number = self.far_numbers.get(id(value))
        if number is None:
            number = self.far_numbers[id(value)] = len(self.far) + 1
            self.far[number] = value
        return number

    def stand_in(self, coded):
        if "far" in coded and coded["far"] in self.far:
            return self.far[coded["far"]]
        if "w" in coded:
            return _derived_value(self, *coded["w"])
        number, kind = coded["o"], coded["is"]
        if "class" in coded:
            self.told.setdefault(coded["k"], coded["class"])
        known = self.remotes.get(number)
        if known is None:
            known = self.remotes[number] = _made(self, number, kind, coded)
        return known

    def is_named(self, kind):
        """Whether the test names the class of that number, or one that it is derived from."""
        return any(number in self.named for number in [kind, *self.told.get(kind, {}).get("parents", ())])

    def error_class(self, told):
        """A class here for an exception class of the solution's, derived from the same classes of the standard library."""
        if "std" in told:
            return standard_exception(*map(str, told["std"])) or SolutionError
        number = told["k"]
        if "class" in told:
            self.told.setdefault(number, told["class"])
        if number not in self.errors:
            known = self.told[number]
            bases = []
            for base in known.get("bases", ()):
                base = self.error_class(base) if base != {"std": ["builtins", "Exception"]} else Exception
                if base not in bases:
                    bases.append(base)
            try:
                made = type(str(known["name"]), tuple(bases) or (SolutionError,), {"__str__": _told_text})
            except TypeError:
                made = type(str(known["name"]), (SolutionError,), {"__str__": _told_text})
            self.errors[number] = made
        return self.errors[number]

    def rebuilt(self, reply, ends=False):
        """The exception that the solution raised. StopIteration, which would end a loop of the test's, only where it `ends` an iterator."""
        told, text = reply["raised"], str(reply.get("text", ""))
        if told.get("std", ["", ""])[1] == "StopIteration" and ends:
            return StopIteration(*self.decode(reply["args"]))
        kind = self.error_class(told)
        args = self.decode(reply.get("args", {"t": []}))
        args = args if type(args) is tuple else ()
        if kind is SolutionError:
            return SolutionError(f"{told.get('std', ['', 'error'])[1]}: {text}")
        error = _instance_of(kind, args, text)
        attributes = self.decode(reply["vars"]) if reply.get("vars") else {}
        for name, value in attributes.items():
            if type(name) is str and not name.startswith("__"):
                error.__dict__[name] = value
        error.__dict__["_told"] = text
        return error

    # --- calls from the solution ---

    def _called_back(self, request):
        """The answer to a solution that calls a function of the test's, or looks at one of its objects."""
        try:
            value = self.far[request["callback"]]
            result = self._done(value, request)
            return {"value": self.border.encode(result)}
        except BaseException as error:
            if isinstance(error, (Unverifiable, BrokenTest, SolutionDied)) and self.trouble is None:
                self.trouble = error
            number = len(self.raised) + 1
            self.raised[number] = error
            kind = type(error)
            told = {"raised": kind.__qualname__, "module": kind.__module__, "number": number, "text": str(error)[:500]}
            try:
                return {**told, "args": self.border.encode(list(error.args))}
            except CannotCross:
                return {**told, "args": []}

    def _done(self, value, request):
        name = request.get("attribute", request.get("assign"))
        if name is not None:
            if type(name) is not str or name.startswith("_") or name[:3] in ("gi_", "cr_", "ag_", "tb_", "co_") or name[:2] == "f_":
                raise AttributeError(name)
            return getattr(value, name) if "attribute" in request else setattr(value, name, self.decode(request["to"]))
        args, kwargs = self.decode(request["args"]), self.decode(request["kwargs"])
        if "special" in request:
            return getattr(type(value), str(request["special"]))(value, *args)
        return value(*args, **kwargs)


session = None


def number_of(value):
    """The number of a stand-in; nothing for any other value."""
    return object.__getattribute__(value, "_number") if isinstance(value, Remote) else getattr(type(value), "_numbers", {}).get(id(value))


def _told_text(self):
    return self.__dict__.get("_told", "")


def _instance_of(kind, args, _text):
    if issubclass(kind, OSError) or kind.__module__ == "builtins":
        try:
            return kind(*args)
        except TypeError:
            pass
    error = kind.__new__(kind)
    error.args = args
    return error


def _named(remote):
    return session.is_named(object.__getattribute__(remote, "_kind"))


def _refuse(remote, operation):
    name = type(remote).__name__
    session.fail(Unverifiable(f"{operation} of an object of the solution's own type {name}"))


def _attribute(remote, name):
    if name.startswith("__") and name not in _TOLD_ATTRIBUTES:
        raise AttributeError(name)
    value = session.decode(session.ask("attribute", of=object.__getattribute__(remote, "_number"), name=name)["value"])
    if isinstance(remote, Class) or object.__getattribute__(remote, "_kind") is None:
        return value
    if not _named(remote) or name in _PREDICATES:
        if type(value) is bool:
            _refuse(remote, f"{name}, yes or no,")
        if isinstance(value, Remote):
            object.__setattr__(value, "_judges", name)
    return value


class Remote:
    """An object that stayed in the solution's instance."""

    __slots__ = ("_number", "_kind", "_judges", "_name")

    def __init__(self, number, kind=None, name=""):
        for slot, value in (("_number", number), ("_kind", kind), ("_judges", None), ("_name", name)):
            object.__setattr__(self, slot, value)

    def __getattr__(self, name):
        return _attribute(self, name)

    def __setattr__(self, name, value):
        session.ask("assign", of=object.__getattribute__(self, "_number"), name=name, to=session.encode(value), **session.surroundings())

    def __delattr__(self, name):
        session.ask("remove", of=object.__getattribute__(self, "_number"), name=name)

    def __eq__(self, other):
        return _equal(self, other)

    def __ne__(self, other):
        return not _equal(self, other)

    def __hash__(self):
        told = session.told.get(object.__getattribute__(self, "_kind"), {})
        if "__eq__" in told.get("has", ()) and not told.get("enum"):
            _refuse(self, "the hash")
        return hash(("remote", object.__getattribute__(self, "_number")))

    def __repr__(self):
        return f"<{type(self).__name__} of the solution>"

    def __str__(self):
        _refuse(self, "the text")

    def __format__(self, spec):
        return format(str(self), spec)

    def _call(self, args, kwargs):
        reply = session.ask("call", of=object.__getattribute__(self, "_number"), args=session.encode(list(args)), kwargs=session.encode(kwargs),
                            **session.surroundings())
        value = session.decode(reply["value"])
        judges = object.__getattribute__(self, "_judges")
        if judges is not None and type(value) is bool:
            session.fail(Unverifiable(f"{judges}, yes or no, of an object of the solution's own type"))
        return value


class Function(Remote):
    """A function or method of the solution's."""

    __slots__ = ()

    def __call__(self, *args, **kwargs):
        return self._call(args, kwargs)

    @property
    def __name__(self):
        return object.__getattribute__(self, "_name")


class Class(Remote):
    """A class of the solution's."""

    __slots__ = ()

    def __call__(self, *args, **kwargs):
        return self._call(args, kwargs)

    @property
    def __name__(self):
        return object.__getattribute__(self, "_name")

    def __instancecheck__(self, value):
        number = number_of(value)
        if number is None:
            return False
        return session.ask("instance", of=number, **{"class": object.__getattribute__(self, "_number")})["value"] is True

    def __subclasscheck__(self, other):
        number = number_of(other)
        return number is not None and session.ask("subclass", of=number, **{"class": object.__getattribute__(self, "_number")})["value"] is True

    def __mro_entries__(self, _bases):
        session.fail(BrokenTest("the test derives a class from one of the solution's, which it cannot do from outside"))


class Iterator(Remote):
    """An iterator of the solution's. Items are taken ahead, the more the longer it goes on."""

    __slots__ = ("_queue", "_end", "_taken", "_asked")

    def __iter__(self):
        return self

    def __next__(self):
        return _next_of(self)


def _special(name):
    def method(self, *args):
        if not _named(self):
            told = session.told.get(object.__getattribute__(self, "_kind"), {})
            raw = _raw(self) if told.get("container") and name not in told.get("has", ()) else None
            if raw is None:
                _refuse(self, name)
            return getattr(type(raw), name)(raw, *args)
        reply = session.ask("special", of=object.__getattribute__(self, "_number"), name=name, args=session.encode(list(args)), **session.surroundings())
        return session.decode(reply["value"])
    return method


def _bool(self):
    if not _named(self):
        _refuse(self, "the truth")
    return session.decode(session.ask("special", of=object.__getattribute__(self, "_number"), name="__bool__", args=[])["value"]) is True


def _enter(self):
    return session.decode(session.ask("special", of=object.__getattribute__(self, "_number"), name="__enter__", args=[])["value"])


def _exit(self, kind, error, _trace):
    told = None if kind is None else [kind.__name__, session.encode(list(map(str, error.args)))]
    args = [None, None, None] if told is None else [told]
    value = session.decode(session.ask("special", of=object.__getattribute__(self, "_number"), name="__exit__", args=args)["value"])
    # A failed assertion is the test's, and no business of the solution's.
    return bool(value) if isinstance(error, Exception) and not isinstance(error, AssertionError) else False


def _raw(remote):
    """What a container of a class of the solution's own holds, as a plain one."""
    return session.decode(session.ask("content", of=object.__getattribute__(remote, "_number"))["value"])


def _equal(one, other):
    """Whether two objects are equal: one and the same, or alike both by their class and by what they hold."""
    mine, theirs = object.__getattribute__(one, "_number"), number_of(other)
    if theirs is not None and mine == theirs:
        return True
    if other is None or isinstance(one, (Function, Class)):
        return False
    told = session.told.get(object.__getattribute__(one, "_kind"), {})
    if told.get("container"):
        raw = _raw(one)
        wanted = _raw(other) if theirs is not None else other
        if raw == wanted or "__eq__" not in told.get("has", ()):
            return raw == wanted
        _refuse(one, "the equality")
    if theirs is None or not isinstance(other, Remote):
        _refuse(one, "the equality")
    if "__eq__" not in told.get("has", ()) or told.get("enum"):
        return False
    alike, held, claimed = session.decode(session.ask("structure", of=mine, other=theirs)["value"])
    if alike is True and claimed is True and held:
        return True
    if alike is False and claimed is False:
        return False
    _refuse(one, "the equality")


def _next_of(self):
    queue = object.__getattribute__(self, "_queue")
    if not queue and object.__getattribute__(self, "_end") is None:
        _fetch(self, {})
    if queue:
        return queue.pop(0)
    end = object.__getattribute__(self, "_end")
    object.__setattr__(self, "_end", {"ended": {"value": None}})
    if "failed" in end:
        raise session.raised[end["failed"]["again"]] if "again" in end["failed"] else session.rebuilt(end["failed"])
    raise StopIteration(session.decode(end["ended"].get("value")))


def _fetch(self, more):
    taken, asked = object.__getattribute__(self, "_taken"), object.__getattribute__(self, "_asked")
    count = 1 if more or asked != session.asked or taken < 8 else min(64, taken // 2)
    reply = session.ask("next", of=object.__getattribute__(self, "_number"), count=count, **more, **session.surroundings())
    items = [session.decode(item) for item in reply["items"]]
    object.__getattribute__(self, "_queue").extend(items)
    object.__setattr__(self, "_taken", taken + len(items))
    object.__setattr__(self, "_asked", session.asked)
    if "ended" in reply or "failed" in reply:
        object.__setattr__(self, "_end", reply)


def _iterator(number):
    made = Iterator(number)
    for slot, value in (("_queue", []), ("_end", None), ("_taken", 0), ("_asked", -1)):
        object.__setattr__(made, slot, value)
    return made


def _generator(source):
    """A generator here for one of the solution's."""
    queue = object.__getattribute__(source, "_queue")
    while True:
        try:
            item = _next_of(source)
        except StopIteration as end:
            return end.value
        try:
            sent = yield item
        except GeneratorExit:
            return None
        except Exception as error:
            if queue:
                session.fail(BrokenTest("the test throws into a generator of which more was taken ahead"))
            _fetch(source, {"throw": [type(error).__name__, session.encode(list(error.args))]})
            continue
        if sent is not None:
            if queue:
                session.fail(BrokenTest("the test sends to a generator of which more was taken ahead"))
            _fetch(source, {"send": session.encode(sent)})


async def _coroutine(number):
    return session.decode(session.ask("await", of=number, **session.surroundings())["value"])


async def _async_generator(number):
    for item in session.decode(session.ask("async_items", of=number)["value"]):
        yield item


def _made(owner, number, kind, coded):
    if kind == "generator":
        return _generator(_iterator(number))
    if kind == "coroutine":
        return _coroutine(number)
    if kind == "async_generator":
        return _async_generator(number)
    if kind == "iterator":
        return _iterator(number)
    if kind == "function":
        return Function(number, None, str(coded.get("name", "")))
    told = owner.told[coded["k"]]
    if kind == "class":
        if "bases" in told:
            return owner.error_class(coded)
        return _enumeration(number, coded["k"], told) if told.get("enum") else Class(number, coded["k"], str(told["name"]))
    if coded["k"] not in owner.kinds:
        owner.kinds[coded["k"]] = _kind(told)
    return owner.kinds[coded["k"]](number, coded["k"])


def _enumeration(number, kind, told):
    made = type("Class", (Class,), {"__slots__": (), **{name: _special(name) for name in ("__iter__", "__getitem__", "__len__", "__contains__")}})
    return made(number, kind, str(told["name"]))


def _kind(told):
    """A class here for the objects of a class of the solution's: it has the operations that the other says it has."""
    has = set(map(str, told.get("has", ())))
    names = {"__slots__": ()}
    if told.get("container"):
        base = {"list": list, "dict": dict, "set": set}.get(told["container"], list)
        has |= {name for name in dir(base) if name in _VALUE}
        names["__bool__"] = lambda self: _special("__len__")(self) > 0
    names.update({name: _special(name) for name in has & _VALUE if name not in ("__str__", "__format__", "__repr__") or name in has})
    if "__str__" not in has and "__repr__" in has:
        names["__str__"] = names["__repr__"]
    names.pop("__format__", None)
    if "__str__" in names:
        names["__format__"] = lambda self, spec, text=names["__str__"]: format(text(self), spec)
    if "__bool__" in has or "__len__" in has and not told.get("container"):
        names["__bool__"] = _bool
    if "__enter__" in has:
        names["__enter__"], names["__exit__"] = _enter, _exit
    if "__call__" in has:
        names["__call__"] = lambda self, *args, **kwargs: self._call(args, kwargs)
    if "__await__" in has:
        names["__await__"] = lambda self: _coroutine(object.__getattribute__(self, "_number")).__await__()
    return type(str(told.get("name", "object")), (Remote,), names)


def _derived_value(owner, base, coded):
    """A value of a class derived from a builtin one: it compares as the builtin value, and has the attributes of the other."""
    plain = owner.decode(base)
    told = coded.get("class") or owner.told.get(coded["k"], {})
    owner.told.setdefault(coded["k"], told)
    number = coded["o"]

    def attribute(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return owner.decode(owner.ask("attribute", of=number, name=name)["value"])

    names = {"__getattr__": attribute, "__module__": "solution"}
    for name in ("__str__", "__repr__"):
        if name in told.get("has", ()):
            names[name] = lambda self, name=name: str(owner.decode(owner.ask("special", of=number, name=name, args=[])["value"]))
    kind = type(str(told.get("name", type(plain).__name__)), (type(plain),), names)
    value = kind(plain)
    kind._numbers = {id(value): number}
    return value
