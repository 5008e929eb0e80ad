"""What makes the snapshot of the interpreter's memory cheap to run from.

Every instance shares the snapshot's pages until it writes to one; a page that is written is copied, and put back after the run. So
programs should write to few pages, and to pages that lie side by side. Three things see to that:

- what the interpreter fills in on first use is filled in before (`REQUESTS`, which the harness carries out)
- no reference is counted: all objects of the snapshot become immortal (`_lasting`; `make_runtime.py` does it)
- new objects lie together: the gaps between those of the snapshot are filled (`_fill_holes`)
"""

import array
import gc
import sys
import types

_PROGRAM = """
import sys, math, collections
from dataclasses import dataclass, field
@dataclass(order=True)
class Item:
    key: int
    name: str = "x"
    rest: list = field(default_factory=list)
class Base:
    def __init__(self, size): self.size = size
    def __repr__(self): return f"{type(self).__name__}({self.size!r})"
class Child(Base):
    @property
    def twice(self): return self.size * 2
    def __len__(self): return self.size
def solve(values, k=2):
    seen, total = {}, 0
    for index, value in enumerate(values):
        if value in seen and index - seen[value] < k: continue
        seen[value] = index
        total += value ** 2 % 7
    return sorted(seen.items(), key=lambda pair: (-pair[1], pair[0])), total
def numbers(n):
    while n > 1:
        yield n
        n = n // 2 if n % 2 == 0 else 3 * n + 1
def main():
    rows = [[int(part) for part in line.split()] for line in ("1 2 3", "4 5 6")]
    words = "the cat and the dog".split()
    print(solve(rows[0] + rows[1]), list(numbers(6)), sum(range(10)), max(words, key=len), *words, sep=", ", end="\\n")
    print(f"{math.pi:.2f} {7:>4d} {'a':<3}|", "%s-%d" % ("x", 3), "{} {}".format(1, 2.5), Child(3), Child(4).twice, Item(1, "b"))
    print(collections.Counter("abca").most_common(1), {x: x * x for x in range(3)}, {1, 2}, (1,), [1, "a", None, True, 1.5])
    stack = [1]; stack.append(2); stack.pop(); "".join(reversed("abc")).upper().replace("A", "b").strip().startswith("c")
    try:
        {}["missing"]
    except KeyError as error:
        print("no", error)
    print(input(), len(sys.stdin.readline()), sys.stdin.read().split())
if __name__ == "__main__":
    main()
"""

# An ordinary program, three that end otherwise, a solution that is called, and a test.
REQUESTS = (
    {"op": "run", "program": _PROGRAM},
    {"op": "run", "program": "1 / 0"},
    {"op": "run", "program": "print(1"},
    {"op": "run", "program": "import sys\nsys.exit(1)"},
    {"op": "load", "program": "def f(a, b=2):\n    return [a, (b, 'c')]\n"},
    {"op": "get", "name": "f"},
    {"op": "call", "of": 0, "args": [1, {"l": [1, [2, {"t": [3, "x"]}]]}], "kwargs": {"d": [2, [None, []]]}},
    {"op": "prelude", "setup": "import math", "prompt": "Write it.", "entry_point": None},
    {"op": "judge", "setup": "import math", "test": "assert [2, (1, 'a')] != {3}, 'no'", "entry_point": None},
)

_MARK = (0x6E756477, 0x9E3779B9, 0x7F4A7C15, 0xF39CC060, 0x5CEDC834, 0x2FE1C2A5)


def _lasting():
    """The addresses of all objects that there are, and of their types, behind a mark that `make_runtime.py` looks for: it makes these
    objects immortal in the snapshot, so that a program that only looks at one does not write its reference count."""
    passing = (types.FrameType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.TracebackType)
    here = sys._getframe()
    seen, waiting = {id(here): here}, gc.get_objects()
    own = {id(seen), id(waiting)}
    while waiting:
        item = waiting.pop()
        if id(item) in seen or id(item) in own or isinstance(item, passing):
            continue
        seen[id(item)] = item
        waiting.extend(gc.get_referents(item))
        if isinstance(item, types.CodeType):
            waiting += [item.co_consts, item.co_names, item.co_name, item.co_qualname, item.co_filename, item.co_linetable, item.co_exceptiontable]
    del seen[id(here)]
    # The mark is written last: nothing that is freed on the way holds a copy of it.
    words = array.array("I", bytes(4 * (len(_MARK) + 1)))
    for item in seen.values():
        words.append(id(item))
        words.append(id(type(item)))
    words[: len(_MARK) + 1] = array.array("I", [*_MARK, len(seen)])
    return words


def _fill_holes():
    """Objects in all the gaps of the heap that freed ones left: what a program allocates then lies side by side, on few pages. Each
    size is allocated until it comes from the one large gap that is to be left."""
    sizes = [*(1 << bits for bits in range(20, 16, -1)), *range(65_536, 4096, -256), *range(4096, 512, -32), *range(512, 0, -8), 2, 0]
    plugs, count, room = [None] * 400_000, 0, 2 << 20
    start = id(bytes(room))
    end = start + room
    for size in sizes:
        while count < len(plugs):
            plugs[count] = plug = bytes(size) if size else object()
            if start <= id(plug) < end:
                plugs[count] = plug = None
                break
            count += 1
    # Everything that was made here stays: freed, it would be a gap again.
    return plugs, sizes, start, end


_kept = []


def settle():
    """The last call before the snapshot. What it makes is kept for ever."""
    gc.collect()
    _kept.append(_lasting())
    gc.collect()
    gc.freeze()
    # What is at work on the way to here would be freed after the gaps are filled, and leave new ones.
    frame = sys._getframe()
    while frame is not None:
        _kept.extend([frame.f_code, *frame.f_locals.values()])
        frame = frame.f_back
    _kept.append(_fill_holes())
