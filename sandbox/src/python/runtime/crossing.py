"""Values that cross between the instance of a solution and that of its tests.

Both instances hold a `Border`. Immutable values of exact builtin types, and a few of the standard library, are written down. Mutable
containers get a number when they first cross: from then on both sides have an object of that number, a change on one side is made on
the other with the next message, and a container that comes back is the one that went out, so that `is` and changes in place mean what
they mean in one process. Everything else stays where it is and is spoken of by number (`describe` and `stand_in` of each side).

What a solution's side sends is a claim, as everything is that leaves it.
"""

import array
import builtins
import collections
import datetime
import decimal
import fractions
import math
import operator
import pathlib
import re
import sys
import types
import uuid

# Levels of nesting that are written down: what is deeper cannot be handed over.
DEPTH = 400
# Exceptions of the standard library that say something to whoever runs a test.
_NO_ANSWER = {"StopIteration", "StopAsyncIteration", "SkipTest", "_ShouldStop", "_SkipTest"}
_SCALARS = frozenset({int, float, bool, type(None)})
_LARGEST_TEXT = 10 ** 600
_VIEWS = (type({}.keys()), type({}.values()), type({}.items()))
_BASES = (str, int, float, tuple, bytes, frozenset, complex)


class CannotCross(Exception):
    """A value that can neither be written down nor stay behind."""


def standard_exception(module, name):
    """The standard library's exception class of that name, if a solution may raise it here; nothing otherwise."""
    found = getattr(sys.modules.get(module), name, None) if module.split(".")[0] in sys.stdlib_module_names else None
    allowed = isinstance(found, type) and issubclass(found, Exception) and name not in _NO_ANSWER
    return found if allowed and not module.startswith("unittest") else None


class Border:
    """What one side knows of the objects that both have.

    `sign` keeps the numbers of the two sides apart. `classes` maps names to classes that both sides define (of a task's prompt or
    setup): their objects cross with their attributes, as containers do.
    """

    def __init__(self, sign):
        self.sign = sign
        self.last = 0
        self.objects = {}
        self.numbers = {}
        self.states = {}
        self.classes = {}

    # What a side does with objects that stay behind; set by it.
    describe = None
    stand_in = None

    def _enter(self, value, number=None):
        if number is None:
            self.last += self.sign
            number = self.last
        self.objects[number] = value
        self.numbers[id(value)] = number
        return number

    def _settle(self, number):
        self.states[number] = _state(self.objects[number])

    def forget(self, numbers):
        """Both sides stop to follow these objects."""
        for number in numbers:
            value = self.objects.pop(number, None)
            if value is not None:
                self.numbers.pop(id(value), None)
                self.states.pop(number, None)

    def unused(self):
        """Numbers of the objects that nobody but this border knows."""
        objects, states, gone = self.objects, self.states, []
        for number in list(objects):
            # Whatever holds it beside the border: its container's remembered state holds it too, and is dropped first.
            if sys.getrefcount(objects[number]) <= _ALONE:
                gone.append(number)
                states.pop(number, None)
        return gone

    def changes(self):
        """The contents of every object that has changed since they last crossed."""
        changed = []
        for number in list(self.objects):
            value, before = self.objects[number], self.states[number]
            if not _same_state(value, before):
                changed.append([number, self._contents(value)])
                self._settle(number)
        return changed

    def apply(self, changes):
        """Makes here what was changed there."""
        for number, contents in changes:
            value = self.objects.get(number)
            if value is None:
                self.decode(contents)
                continue
            self._fill(value, contents)
            self._settle(number)

    # --- writing ---

    def encode(self, value):
        """`value` as JSON."""
        before = self.last
        try:
            return self._encode(value, 0)
        except BaseException as error:
            # The other side does not get to know what has been written down so far.
            self.forget(range(before + self.sign, self.last + self.sign, self.sign))
            if isinstance(error, RecursionError):
                raise CannotCross("a value that is nested too deep") from None
            raise

    def _encode(self, value, depth):
        kind = type(value)
        if kind in _SCALARS:
            if kind is not int or -_LARGEST_TEXT < value < _LARGEST_TEXT:
                return value
            return {"i": hex(value)}
        if kind is str:
            return value if value.isascii() or not re.search("[\ud800-\udfff]", value) else {"u": value.encode("utf-8", "surrogatepass").hex()}
        if depth > DEPTH:
            raise CannotCross(f"a value that is nested more than {DEPTH} levels deep")
        if kind is tuple:
            return {"t": [self._encode(item, depth + 1) for item in value]}
        known = self.numbers.get(id(value))
        if known is not None:
            return {"=": known}
        tag = _MUTABLE.get(kind) or ("x" if self.classes.get(kind.__name__) is not None and self._shared_class(kind) else None)
        if tag is not None:
            number = self._enter(value)
            coded = {tag: [number, self._contents(value, depth + 1)]}
            self._settle(number)
            return coded
        return self._immutable(kind, value, depth)

    def _shared_class(self, kind):
        """Whether `kind` is what this side has for a class that both have: that class itself, or one that the solution put in its place."""
        return kind is self.classes[kind.__name__] or kind.__module__ in ("__main__", "solution")

    def _contents(self, value, depth=0):
        kind = type(value)
        if kind is list or kind is collections.deque or kind is set:
            if set(map(type, value)) <= _SCALARS:
                plain = list(value)
                if all(type(item) is not int or -_LARGEST_TEXT < item < _LARGEST_TEXT for item in plain):
                    return plain if kind is not collections.deque else [value.maxlen, plain]
            coded = [self._encode(item, depth) for item in value]
            return coded if kind is not collections.deque else [value.maxlen, coded]
        if kind is bytearray:
            return value.hex()
        if kind is array.array:
            return [value.typecode, self._encode(list(value), depth)]
        if kind in _MUTABLE:
            factory = getattr(value.default_factory, "__name__", None) if kind is collections.defaultdict else None
            return [factory, [[self._encode(key, depth), self._encode(item, depth)] for key, item in dict.items(value)]]
        return [kind.__name__, [[name, self._encode(item, depth)] for name, item in _attributes(value)]]

    def _immutable(self, kind, value, depth):
        if kind is frozenset:
            return {"z": [self._encode(item, depth + 1) for item in value]}
        if kind is bytes:
            return {"b": value.hex()}
        if kind is complex:
            return {"c": [repr(value.real), repr(value.imag)]}
        if kind is range:
            return {"r": [self._encode(part, depth) for part in (value.start, value.stop, value.step)]}
        if kind is slice:
            return {"sl": [self._encode(part, depth + 1) for part in (value.start, value.stop, value.step)]}
        if kind is fractions.Fraction:
            return {"q": [hex(value.numerator), hex(value.denominator)]}
        if kind is decimal.Decimal:
            return {"m": str(value)}
        if kind is uuid.UUID:
            return {"uuid": value.hex}
        if kind in (pathlib.PosixPath, pathlib.PurePosixPath):
            return {"path": [kind.__name__, str(value)]}
        if value is Ellipsis or value is NotImplemented:
            return {"e": repr(value)}
        if kind is datetime.date or kind in (datetime.datetime, datetime.time) and (value.tzinfo is None or type(value.tzinfo) is datetime.timezone):
            return {kind.__name__: value.isoformat()}
        if kind is datetime.timedelta:
            return {"timedelta": [value.days, value.seconds, value.microseconds]}
        if kind in _VIEWS:
            return {"v": [kind.__name__, [self._encode(item, depth + 1) for item in value]]}
        if kind is type and getattr(builtins, value.__name__, None) is value:
            return {"g": value.__name__}
        coded = self.describe(value)
        if isinstance(value, _BASES):
            # A named tuple is a tuple, whatever its class says about itself.
            base = next(base for base in _BASES if isinstance(value, base))
            return {"w": [self._encode(_plain(base, value), depth + 1), coded]}
        return coded

    # --- reading ---

    def decode(self, coded):
        """The value that `encode` wrote down on the other side."""
        if type(coded) is list:
            return [self.decode(item) for item in coded]
        if type(coded) is not dict:
            return coded
        (tag, part), *_ = coded.items()
        read = _READ.get(tag)
        if read is not None:
            return read(self, part)
        if tag == "=":
            if part not in self.objects:
                raise CannotCross("an object that this side does not know")
            return self.objects[part]
        if tag in _EMPTY or tag == "x":
            return self._entered(tag, part)
        return self.stand_in(coded)

    def _entered(self, tag, part):
        number, contents = part
        if tag == "x":
            owner = self.classes.get(contents[0])
            if owner is None:
                raise CannotCross("an object of a class that this side does not have")
            value = object.__new__(owner)
        elif tag == "k":
            value = collections.deque(maxlen=contents[0])
        elif tag == "a":
            value = array.array(contents[0])
        else:
            value = _EMPTY[tag]()
        self._enter(value, number)
        self._fill(value, contents)
        self._settle(number)
        return value

    def _fill(self, value, contents):
        kind = type(value)
        if kind is list:
            value[:] = [self.decode(item) if type(item) is dict else item for item in contents]
        elif kind is collections.deque:
            items = self.decode(contents[1])
            value.clear()
            value.extend(items)
        elif kind is set:
            items = self.decode(contents)
            value.clear()
            value.update(items)
        elif kind is bytearray:
            value[:] = bytes.fromhex(contents)
        elif kind is array.array:
            value[:] = array.array(value.typecode, self.decode(contents[1]))
        elif kind in _MUTABLE:
            pairs = [(self.decode(key), self.decode(item)) for key, item in contents[1]]
            dict.clear(value)
            dict.update(value, pairs)
            factory = getattr(builtins, contents[0], None) if type(contents[0]) is str else None
            if kind is collections.defaultdict and isinstance(factory, type):
                value.default_factory = factory
        else:
            pairs = [(str(name), self.decode(item)) for name, item in contents[1]]
            for name, _ in pairs:
                # What the class does is not for the other side to change.
                if name.startswith("__") or callable(getattr(kind, name, None)):
                    raise CannotCross(f"an object whose {name} is not that of its class")
            for name in [name for name, _ in _attributes(value)]:
                object.__delattr__(value, name)
            for name, item in pairs:
                object.__setattr__(value, name, item)


def _plain(base, value):
    """The value of `base` in an object of a class derived from it, past all methods of that class."""
    if base is tuple or base is frozenset:
        return base(base.__iter__(value))
    if base is str:
        return str.__str__(value) if type(str.__str__(value)) is str else str.join("", [str.__getitem__(value, slice(None))])
    if base is int:
        return int.__int__(value)
    if base is float:
        return float.__float__(value)
    return complex(value.real, value.imag) if base is complex else bytes.__getitem__(value, slice(None))


def _attributes(value):
    """Names and values of what an object holds, in its dictionary or its slots."""
    held = list(getattr(value, "__dict__", {}).items())
    for owner in type(value).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name):
                held.append((name, getattr(value, name)))
    return held


def _state(value):
    """A shallow copy, to find out whether anything has changed."""
    if isinstance(value, dict):
        return [*dict.keys(value), *dict.values(value)]
    kind = type(value)
    if kind is list or kind is collections.deque:
        return list(value)
    if kind is set:
        return set(value)
    if kind is bytearray or kind is array.array:
        return bytes(value)
    return [part for pair in _attributes(value) for part in pair]


def _same_state(value, before):
    now = value if type(value) is list else _state(value)
    if type(before) is list:
        return len(now) == len(before) and all(map(operator.is_, now, before))
    return now == before


def _date(kind):
    return lambda _border, part: getattr(datetime, kind).fromisoformat(part)


def _view(border, part):
    name, items = part[0], [border.decode(item) for item in part[1]]
    if name == "dict_keys":
        return dict.fromkeys(items).keys()
    return dict(items).items() if name == "dict_items" else dict(enumerate(items)).values()


def _builtin_type(_border, part):
    found = getattr(builtins, str(part), None)
    if not isinstance(found, type):
        raise CannotCross(f"a builtin type named {part!r}")
    return found


_MUTABLE = {list: "l", dict: "d", set: "s", collections.deque: "k", bytearray: "y", collections.Counter: "C", collections.OrderedDict: "O",
            collections.defaultdict: "D", array.array: "a"}
_EMPTY = {"l": list, "d": dict, "s": set, "k": collections.deque, "y": bytearray, "C": collections.Counter, "O": collections.OrderedDict,
          "D": collections.defaultdict, "a": array.array}
_READ = {
    "t": lambda border, part: tuple([border.decode(item) for item in part]),
    "i": lambda _border, part: int(part, 16),
    "u": lambda _border, part: bytes.fromhex(part).decode("utf-8", "surrogatepass"),
    "z": lambda border, part: frozenset([border.decode(item) for item in part]),
    "b": lambda _border, part: bytes.fromhex(part),
    "c": lambda _border, part: complex(float(part[0]), float(part[1])),
    "r": lambda border, part: range(*[border.decode(item) for item in part]),
    "sl": lambda border, part: slice(*[border.decode(item) for item in part]),
    "q": lambda _border, part: fractions.Fraction(int(part[0], 16), int(part[1], 16)),
    "m": lambda _border, part: decimal.Decimal(part),
    "uuid": lambda _border, part: uuid.UUID(part),
    "path": lambda _border, part: (pathlib.PosixPath if part[0] == "PosixPath" else pathlib.PurePosixPath)(part[1]),
    "e": lambda _border, part: Ellipsis if part == "Ellipsis" else NotImplemented,
    "date": _date("date"), "datetime": _date("datetime"), "time": _date("time"),
    "timedelta": lambda _border, part: datetime.timedelta(*part),
    "v": _view,
    "g": _builtin_type,
}


def _alone():
    """What `sys.getrefcount` says of an object that only a border's table holds."""
    objects = {1: []}
    return max(sys.getrefcount(objects[number]) for number in list(objects))


_ALONE = _alone()


def same_answer(found, expected):
    """Equal as JSON would have it: tuples are lists, keys are text, whole numbers are equal if they are the same, and numbers with a
    fraction up to rounding in the last places."""
    if isinstance(found, (list, tuple)) and type(expected) is list:
        return len(found) == len(expected) and all(map(same_answer, found, expected))
    if isinstance(found, dict) and type(expected) is dict:
        if len(found) != len(expected):
            return False
        named = {_key(key): item for key, item in found.items()}
        return all(key in named and same_answer(named[key], item) for key, item in expected.items())
    if type(expected) is float and isinstance(found, (int, float)) and type(found) is not bool:
        return found == expected or math.isfinite(expected) and math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(expected, (int, float)) and isinstance(found, (int, float)):
        return found == expected
    return type(expected) is type(found) and found == expected or type(expected) is str and isinstance(found, str) and found == expected


def _key(key):
    if key is None or type(key) is bool:
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)


# Kept here so that both sides agree on what a function that iterates is.
ITERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
