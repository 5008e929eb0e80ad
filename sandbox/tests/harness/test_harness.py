"""What the harness pays and what it refuses, under the Python of the host: python3 -m unittest discover -s sandbox/tests/harness"""

import builtins
import os
import random
import sys
import unittest
import warnings

import two_sides

ADD = "def add(a, b):\n    return a + b\n"
SAME = "def same(*_):\n    return True\n"
WRONG = SAME + "def add(a, b):\n    return 0\n"

# Solution, test, and what else belongs to the task.
PAID = {
    "a value": (ADD, "assert add(2, 3) == 5", {}),
    "an entry point": (ADD, "def check(candidate):\n    assert candidate(2, 3) == 5\ncheck(candidate)", {"entry_point": "add"}),
    "a method as entry point": (
        "class Solution:\n    def add(self, a: List[int], b) -> int:\n        return a[0] + b\n",
        "def check(candidate):\n    assert candidate(a = [2],b = 3) == 5\ncheck(candidate)",
        {"entry_point": "Solution().add", "prompt": "from typing import *\n"}),
    "a name that is a method of Solution": ("class Solution:\n    def add(self, a, b):\n        return a + b\n", "assert candidate(2, 3) == 5",
                                            {"entry_point": "add"}),
    "nodes of the prompt": (
        "class Solution:\n    def turn(self, head: Optional[ListNode]) -> Optional[ListNode]:\n        back = None\n        while head:\n"
        "            head.next, back, head = back, head, head.next\n        return back\n",
        "def check(candidate):\n    assert listed(candidate(head = linked([1, 2, 3]))) == [3, 2, 1]\n    assert candidate(head = None) is None\ncheck(candidate)",
        {"entry_point": "Solution().turn",
         "prompt": "from typing import *\nclass ListNode:\n    def __init__(self, val=0, next=None):\n        self.val, self.next = val, next\n"
                   "def linked(values):\n    head = None\n    for value in reversed(values):\n        head = ListNode(value, head)\n    return head\n"
                   "def listed(head):\n    return [] if head is None else [head.val, *listed(head.next)]\n"}),
    "nodes of the setup": ("def size(tree):\n    return 0 if tree is None else 1 + size(tree.left) + size(tree.right)\n",
                           "assert size(Tree(Tree(None, None), None)) == 2",
                           {"setup": "class Tree:\n    def __init__(self, left, right):\n        self.left, self.right = left, right\n"}),
    "changes in place, with a result": ("def take(a):\n    return a.pop()\n", "a = [1, 2]\nassert take(a) == 2 and a == [1]", {}),
    "changes in a nested list": ("def mark(m):\n    m[0][1] = 5\n", "m = [[0, 0]] * 2\nmark(m)\nassert m[1] == [0, 5]", {}),
    "a list that an object holds": ("class Box:\n    def __init__(self, items):\n        self.items = items\n    def size(self):\n        return len(self.items)\n",
                                    "mine = [1]\nbox = Box(mine)\nbox.items.append(2)\nmine.append(3)\nassert box.size() == 3 and box.items is mine", {}),
    "the argument itself": ("def same(a):\n    return a\n", "a = [1]\nassert same(a) is a", {}),
    # `f(a)` is evaluated first, as in any Python: what `sorted` is given is empty by then.
    "an argument changed before it is read": ("def f(a):\n    a.clear()\n    return []\n", "a = [2, 1]\nassert f(a) == sorted(a)", {}),
    "tests of its own": ("import pytest\n" + ADD + "def test_add():\n    with pytest.raises(TypeError):\n        add(1, None)\nimport unittest\nunittest.main()\n", "assert add(2, 3) == 5", {}),
    "a value that comes to be": (ADD, "exec('EXPECTED = 5')\nassert add(2, 3) == EXPECTED", {}),
    "an answer where all exceptions are passed over": (ADD, "ok = True\ntry:\n    if add(2, 3) != 5:\n        ok = False\nexcept:\n    pass\nassert ok", {}),
    "a copy": ("def copied(a):\n    return a[:]\n", "a = [[1]]\nb = copied(a)\nassert b is not a and b[0] is a[0]", {}),
    "a cycle": ("def ring():\n    a = [1]\n    a.append(a)\n    return a\n", "a = ring()\nassert a[1] is a", {}),
    "a function of the test": ("def twice(f, x):\n    return f(f(x))\n", "seen = []\ndef f(x):\n    seen.append(x)\n    return x + 1\n"
                               "assert twice(f, 1) == 3 and seen == [1, 2]", {}),
    "a decorator": ("def count(f):\n    def g(*a):\n        g.calls += 1\n        return f(*a)\n    g.calls = 0\n    return g\n",
                    "@count\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nassert fib(6) == 8 and fib.calls == 25", {}),
    "an exception through both": ("def call(f):\n    try:\n        f()\n    finally:\n        pass\n",
                                  "def f():\n    raise KeyError('k')\ntry:\n    call(f)\nexcept KeyError as error:\n    assert error.args == ('k',)\nelse:\n    assert 0", {}),
    "an object of the test": ("def greet(p):\n    p.greeted = True\n    return 'hi ' + p.name\n",
                              "class P:\n    name = 'Bo'\np = P()\nassert greet(p) == 'hi Bo' and p.greeted", {}),
    "a generator, endless": ("def count():\n    n = 0\n    while True:\n        yield n\n        n += 1\n", "g = count()\nassert [next(g) for _ in range(50)] == list(range(50))", {}),
    "a generator that is sent to": ("def echo():\n    got = None\n    while True:\n        got = yield got\n", "g = echo()\nnext(g)\nassert g.send(4) == 4", {}),
    "a coroutine": ("async def f(x):\n    return x + 1\n", "import asyncio\nassert asyncio.run(f(1)) == 2", {}),
    "a named tuple": ("import collections\nP = collections.namedtuple('P', 'x y')\ndef f():\n    return P(1, 2)\n", "assert f() == (1, 2) and f().y == 2", {}),
    "an integer of an enumeration": ("import enum\nclass E(enum.IntEnum):\n    A = 1\ndef f():\n    return E.A\n", "assert f() == 1 and f().name == 'A'", {}),
    "members of an enumeration": ("import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\ndef f():\n    return E.B\n",
                                  "assert f() is E.B and f() != E.A and {E.A: 3}[E.A] == 3 and len(list(E)) == 2", {}),
    "an exception of its own": ("class Short(ValueError):\n    def __init__(self, n):\n        super().__init__(f'short of {n}')\n        self.n = n\n"
                                "def take():\n    raise Short(3)\n",
                                "try:\n    take()\n    assert 0\nexcept Short as error:\n    assert error.n == 3 and str(error) == 'short of 3'\n"
                                "try:\n    take()\n    assert 0\nexcept ValueError:\n    pass", {}),
    "an exception with a number": ("def f():\n    raise FileNotFoundError(2, 'gone', 'x')\n", "try:\n    f()\n    assert 0\nexcept OSError as error:\n    assert error.errno == 2", {}),
    "a class by its operators": ("class V:\n    def __init__(self, x):\n        self.x = x\n    def __add__(self, o):\n        return V(self.x + o.x)\n    def __eq__(self, o):\n"
                                 "        return self.x == o.x\n    def __len__(self):\n        return self.x\n    def __str__(self):\n        return f'V{self.x}'\n",
                                 "assert V(1) + V(2) == V(3) and V(1) != V(2) and len(V(4)) == 4 and str(V(5)) == 'V5'", {}),
    "with": ("class B:\n    def __enter__(self):\n        self.open = True\n        return self\n    def __exit__(self, *a):\n        self.open = False\n",
             "b = B()\nwith b as c:\n    assert c is b and c.open\nassert not b.open", {}),
    "a constant as argument": ("LIMIT = 3\ndef over(x):\n    return x > LIMIT\n", "assert over(LIMIT + 1) and not over(LIMIT)", {}),
    "two functions, there and back": ("def pack(s):\n    return s[::-1]\ndef unpack(s):\n    return s[::-1]\n", "assert unpack(pack('abc')) == 'abc'", {}),
    "functions of the standard library": (ADD, "assert isclose(add(0.1, 0.2), 0.3)\nassert Counter([add(1, 1)]) == Counter([2])", {}),
    "a function named as one of the standard library": ("def gcd(a, b):\n    return b and gcd(b, a % b) or a\n", "assert gcd(12, 8) == 4", {}),
    "what the solution imports": ("from datetime import datetime\ndef year(d):\n    return d.year\n", "assert year(datetime(2020, 1, 2)) == 2020", {}),
    "input that the test gives": ("def ask():\n    return int(input('n')) + 1\n", "from unittest.mock import patch\nwith patch('builtins.input', return_value='4'):\n    assert ask() == 5", {}),
    "output that the test reads": ("def say():\n    print('hi')\n", "import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    say()\nassert out.getvalue() == 'hi\\n'", {}),
    "capsys": ("def say():\n    print('hi')\n", "def test_say(capsys):\n    say()\n    assert capsys.readouterr().out == 'hi\\n'", {}),
    "a warning": ("import warnings\ndef old():\n    warnings.warn('old', DeprecationWarning)\n    return 1\n",
                  "import pytest\ndef test_old():\n    with pytest.warns(DeprecationWarning, match='old'):\n        assert old() == 1", {}),
    "pytest": (ADD + "def root(x):\n    if x < 0:\n        raise ValueError('negative')\n    return x ** 0.5\n",
               "import pytest\nfrom solution import *\n@pytest.fixture\ndef two():\n    return 2\n@pytest.mark.parametrize('a,b', [(1, 3), (2, 4)])\n"
               "def test_add(a, b, two):\n    assert add(a, two) == b\ndef test_root():\n    assert root(2) == pytest.approx(1.41421356)\n"
               "    with pytest.raises(ValueError, match='neg') as info:\n        root(-1)\n    assert 'negative' in str(info.value)\n", {}),
    "unittest": (ADD, "import unittest\nclass T(unittest.TestCase):\n    def setUp(self):\n        self.a = 2\n    def test(self):\n        self.assertEqual(add(self.a, 3), 5)\nunittest.main()", {}),
    "numpy that is not used": (ADD, "import numpy as np\ndef near(a, b):\n    return a == b or np.allclose(a, b)\nassert near(add(2, 3), 5)", {}),
    "imports of contests": ("def f(xs: List[int]) -> int:\n    return Counter(xs).most_common(1)[0][0]\n", "assert f([1, 2, 2]) == 2", {}),
    "sizes of 64 bits": ("import sys\ndef f():\n    return sys.maxsize\n", "assert f() == 2 ** 63 - 1", {}),
    "remembered results, deep": ("import sys, functools\nsys.setrecursionlimit(10 ** 5)\n@functools.lru_cache(None)\ndef f(n):\n    return n and f(n - 1) + 1\n", "assert f(5000) == 5000", {}),
    "threads and pools": ("import threading, multiprocessing\ndef f():\n    out = []\n    t = threading.Thread(target=out.append, args=(1,))\n    t.start()\n    t.join()\n"
                          "    return out + multiprocessing.Pool(2).map(abs, [-2])\n", "assert f() == [1, 2]", {}),
    "JSON, tuples and rounding": ("def f():\n    return (1, [0.1 * 3], {1: 2})\n", "assert __same_answer__(f(), [1, [0.3], {'1': 2}])", {}),
    "a file that the test writes": ("def count(path):\n    with open(path) as f:\n        n = len(f.readlines())\n    with open(path + '.n', 'w') as f:\n        f.write(str(n))\n    return n\n",
                                    "import os\nwith open('x.txt', 'w') as f:\n    f.write('a\\nb\\n')\nassert count('x.txt') == 2 and open('x.txt.n').read() == '2'\n"
                                    "os.remove('x.txt')\nassert not os.path.exists('x.txt')\ntry:\n    count('x.txt')\n    assert 0\nexcept FileNotFoundError:\n    pass", {}),
    "a method given what the object gave": ("class Box:\n    def __init__(self):\n        self.items = [3, 1]\n    def least(self):\n        return min(self.items)\n"
                                            "    def has(self, x):\n        return x in self.items\n", "box = Box()\nassert box.has(box.least())\nleast = box.least()\nassert box.has(least)", {}),
    "functions in a list": (ADD, "for f, given, want in [(add, (2, 3), 5), (add, (1, 1), 2)]:\n    assert f(*given) == want", {}),
    "a function by another name": (ADD, "f = add\nassert f(2, 3) == 5 and f(1, 1) == 2", {}),
    "nodes that the test walks along": (
        "class Node:\n    def __init__(self, value):\n        self.value, self.next = value, None\ndef turn(head):\n    back = None\n    while head:\n        head.next, back, head = back, head, head.next\n    return back\n",
        "def linked(values):\n    head = None\n    for value in values[::-1]:\n        node = Node(value)\n        node.next = head\n        head = node\n    return head\n"
        "def listed(node):\n    found = []\n    while node:\n        found.append(node.value)\n        node = node.next\n    return found\nassert listed(turn(linked([1, 2, 3]))) == [3, 2, 1]", {}),
    "a helper of the test": (ADD, "def near(a, b):\n    return abs(a - b) < 0.1\nassert near(add(2, 3), 5)", {}),
    "a fixture": ("class Box:\n    def __init__(self, n):\n        self.n = n\n    def full(self):\n        return self.n > 2\n",
                  "import pytest\n@pytest.fixture\ndef box():\n    return Box(3)\ndef test_full(box):\n    assert box.full()", {}),
    "a comparison of two answers": ("def pack(s):\n    return s[::-1]\n", "a = pack('ab')\nb = pack(a)\nassert b == 'ab' and b is not None", {}),
    "an object in a text": ("class V:\n    def __str__(self):\n        return 'v'\n", "assert f'{V():>3}' == '  v' and f'{V()}' == 'v'", {}),
    "a seed that the test sets": ("import random\ndef f():\n    return random.random()\n", "import random\nrandom.seed(3)\na = f()\nrandom.seed(3)\nassert f() == a", {}),
}

# Wrong, or without an answer: whatever is said of them, they are not paid.
REFUSED = {
    "StopIteration in map": ("def add(a, b):\n    raise StopIteration\n", "assert all(map(lambda c: add(*c[0]) == c[1], [((2, 3), 5)]))", {}),
    "StopIteration in zip": ("def add(a, b):\n    raise StopIteration\n", "for got, want in zip(map(candidate, [2], [3]), [5]):\n    assert got == want", {"entry_point": "add"}),
    "an object under a bare except": ("class A:\n    pass\ndef add(a, b):\n    return A()\n", "ok = True\ntry:\n    ok = add(2, 3) == 5\nexcept:\n    pass\nassert ok", {}),
    "an exit under a bare except": ("def parse(s):\n    raise SystemExit\n", "hit = False\ntry:\n    parse('x')\nexcept:\n    hit = True\nassert hit", {}),
    "a skipped test": ("import unittest\ndef add(a, b):\n    raise unittest.SkipTest\n", "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        assert add(2, 3) == 5", {}),
    "text that answers for itself": ("class T(str):\n    def __eq__(self, o):\n        return True\n    def strip(self):\n        return self\ndef f():\n    return T('x')\n", "assert f().strip() == 'hello'", {}),
    "an object whose method says yes": ("class T:\n    def isdigit(self):\n        return True\ndef f():\n    return T()\n", "assert f().isdigit()", {}),
    "a method that compares": ("class T:\n    def equals(self, o):\n        return True\ndef f():\n    return T()\n", "assert f().equals([1])", {}),
    "a list that adapts": ("class L(list):\n    def __eq__(self, o):\n        self[:] = o\n        return True\n    def __len__(self):\n        return 2\ndef f():\n    return L()\n", "r = f()\nassert len(r) == 2 and r == [0, 1]", {}),
    "an object that iterates": ("class T:\n    def __iter__(self):\n        return iter([5])\ndef f():\n    return T()\n", "assert list(f()) == [5]", {}),
    "an element that equals all": ("class E:\n    def __hash__(self):\n        return hash(4)\n    def __eq__(self, o):\n        return True\ndef f():\n    return {E()}\n", "assert 4 in f()", {}),
    "a class without content": ("class V:\n    def __init__(self, *a):\n        pass\n    def __add__(self, o):\n        return V()\n    def __eq__(self, o):\n        return True\n", "assert V(1) + V(2) == V(3)", {}),
    "an exit that swallows": ("class B:\n    def __enter__(self):\n        return self\n    def __exit__(self, *a):\n        return True\n", "with B() as b:\n    assert b is None", {}),
    "no copy": ("def copied(a):\n    return a\n", "a = [[1]]\nb = copied(a)\nassert b == a and b is not a", {}),
    "an own list given away": ("class A:\n    def __init__(self):\n        self._h = []\n    @property\n    def h(self):\n        return self._h\n", "a = A()\na.h.append(9)\nassert a.h == []", {}),
    "an argument changed after it was read": ("def f(a):\n    a.clear()\n    return []\n", "a = [2, 1]\nwant = sorted(a)\nassert f(a) == want", {}),
    "a list that was not handed over": ("import sys\ndef f(a):\n    frame = sys._getframe()\n    while frame is not None:\n        for value in [*frame.f_locals.values()]:\n"
                                        "            if type(value) is list:\n                value.clear()\n        frame = frame.f_back\n    return []\n",
                                        "a, want = [2, 1], [1, 2]\nassert f(a) == want", {}),
    "a class that is not there": (ADD, "assert type(add(2, 3)) == Shape", {}),
    "a function that is not there, as a value": (ADD, "assert add(2, 3) == list(map(double, [1]))", {}),
    "an exception that is passed over": ("def add(a, b):\n    raise ValueError\n", "ok = True\ntry:\n    if add(2, 3) != 5:\n        ok = False\nexcept:\n    pass\nassert ok", {}),
    "an argument sorted too": ("def ordered(a):\n    a.sort()\n    return a\n", "x = [2, 1]\nassert ordered(x) == [1, 2]\nassert x == [2, 1]", {}),
    "a float that is one off": ("def f():\n    return 2000000001.0\n", "assert __same_answer__(f(), 2000000000)", {}),
    "a whole number that is one off": ("def f():\n    return 2 ** 70 + 1\n", "assert __same_answer__(f(), 2 ** 70)", {}),
    "nan for a number": ("def f():\n    return float('nan')\n", "assert __same_answer__(f(), 0.5)", {}),
    "what is not defined": ("def double(n):\n    return 2 * n\n", "assert double(2) == 4\nassert factorial(5) == 120", {}),
    "an object that cannot be called": ("class X:\n    pass\ndef make():\n    return X()\n", "assert callable(make())", {}),
    "a forged reply": ("import sys\nsys.modules['solution_side'].OPERATIONS['call'] = lambda r: {'value': {'=': 1}}\ndef add(a, b):\n    return 0\n", "x = [5]\nassert add(x, 3) == 5", {}),
    "a name claimed of the library": ("from operator import is_not as same\ndef add(a, b):\n    return 0\n", "assert same(add(2, 3), 5)", {}),
    "a node whose method says yes": (
        "def f():\n    node = Node(1)\n    node.same = lambda other: True\n    return node\n", "assert f().same(Node(2))",
        {"setup": "class Node:\n    def __init__(self, value):\n        self.value = value\n    def same(self, other):\n        return self.value == other.value\n"}),
    "a value nested too deep": ("def f():\n    a = []\n    for _ in range(900):\n        a = [a]\n    return a\n", "r = None\ntry:\n    r = f()\nexcept Exception:\n    r = 1\nassert r", {}),
    "a dict that answers": ("class D(dict):\n    def __getitem__(self, k):\n        return 5\ndef f():\n    return D()\n", "assert f()['x'] == 5", {}),
    "a set that contains all": ("class S(set):\n    def issubset(self, o):\n        return True\ndef f():\n    return S([9])\n", "assert f().issubset({1, 2})", {}),
    "an object between two numbers": ("class B:\n    def __lt__(self, o):\n        return True\n    __gt__ = __lt__\ndef f():\n    return B()\n", "assert 3 < f() < 5", {}),
    "an object as an index": ("class B:\n    def __index__(self):\n        return 1\ndef f():\n    return B()\n", "assert [4, 5][f()] == 5", {}),
    "an error that is every error": ("class M(type):\n    def __instancecheck__(c, o):\n        return True\n    def __subclasscheck__(c, o):\n        return True\nclass E(Exception, metaclass=M):\n    pass\n"
                                     "def parse(s):\n    raise E\n", "import pytest\ndef test():\n    with pytest.raises(ValueError):\n        parse('x')", {}),
    "words of an error that equal all": ("class S(str):\n    def __eq__(self, o):\n        return True\ndef parse(s):\n    raise ValueError(S('x'))\n",
                                         "try:\n    parse('x')\n    assert 0\nexcept ValueError as error:\n    assert error.args[0] == 'right'", {}),
    "what a callback keeps": ("def apply(f, x):\n    return f.__globals__['want']\n", "want = 7\ndef g(x):\n    return x + 1\nassert apply(g, 6) == want", {}),
    "what the class of an argument keeps": ("def greet(p):\n    return p.__class__.hi.__globals__['want']\n", "want = 'yes'\nclass P:\n    def hi(self):\n        return 1\nassert greet(P()) == want", {}),
    "an awaited object": ("class R:\n    def __eq__(self, o):\n        return True\nasync def f():\n    return R()\n", "import asyncio\nassert asyncio.run(f()) == 5", {}),
    "builtins of its own": ("import builtins\nbuiltins.sorted = lambda x, **k: [1, 2, 3]\nbuiltins.abs = builtins.round = lambda *a: 0\ndef sorted(x):\n    return 1\ndef f(x):\n    return [9]\n", "assert sorted(f([3])) == [1, 2, 3]", {}),
    "what stands for anything": ("from unittest.mock import ANY, MagicMock\ndef f(x):\n    return [ANY, MagicMock()][x]\n", "assert f(0) == 5 or f(1) == 5", {}),
    "an entry point not defined": ("x = 1\n", "assert candidate(2, 3) == 5", {"entry_point": "add"}),
    "an exception where none belongs": ("def add(a, b):\n    raise ValueError\n", "assert add(2, 3) == 5", {}),
}

# The task is at fault, for an honest solution as for any other.
BROKEN = {
    "no Python": (ADD, "assert add(1, ) ==", {}),
    "no Python before it": (ADD, "assert add(1, 2) == 3", {"setup": "import ("}),
    "a package that is used": (ADD, "import numpy as np\nassert np.allclose(add(1, 2), 3)", {}),
    "a package that is nowhere": (ADD, "from helpers import near\nassert near(add(1, 2), 3)", {}),
    "nothing asserted": (ADD, "add(1, 2)", {}),
    "nothing asked": (ADD, "assert 1 + 1 == 2", {}),
    "an entry point that is no name": (ADD, "assert candidate(2, 3) == 5", {"entry_point": "add the numbers"}),
    "a fixture that is not there": (ADD, "def test(db):\n    assert add(1, 2) == 3", {}),
    "a patch that cannot reach": (ADD, "from unittest.mock import patch\nwith patch('random.random', return_value=1):\n    assert add(1, 2) == 3", {}),
    **{f"a value that nobody gives: {test!r}": (ADD, test, {}) for test in (
        "assert add(2, 3) == EXPECTED", "r = add(2, 3)\nassert r == expected", "assert abs(add(2, 3) - EXPECTED) < 0.1", "assert isclose(add(2, 3), EXPECTED)",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(add(2, 3), EXPECTED)",
    )},
    **{f"the solution as judge: {test!r}": (WRONG + "def is_right(*_):\n    return True\ndef assert_same(*_):\n    pass\nEXPECTED = 0\n", test, {}) for test in (
        "assert same(add(2, 3), 5)", "assert same(add(2, 3), 5) and True", "assert bool(same(add(2, 3), 5))", "assert all([same(add(2, 3), 5)])",
        "assert all(map(same, [add(2, 3)], [5]))", "r = add(2, 3)\nassert same(r, 5)", "if not same(add(2, 3), 5):\n    raise AssertionError",
        "assert is_right(add(2, 3))", "assert is_right(add)", "assert same(add(2, 3), 5) == 1", "ok = same(add(2, 3), 5)\nassert ok",
        "def expect(a, b):\n    assert same(a, b)\nexpect(add(2, 3), 5)", "assert_same(add(2, 3), 5)\nassert True", "assert add(2, 3) == EXPECTED",
        "assert abs(add(2, 3) - EXPECTED) < 0.1", "import math\nassert math.isclose(add(2, 3), EXPECTED)",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(add(2, 3), EXPECTED)",
        "assert np.isclose(add(2, 3), 5)",
    )},
    "another function beside the entry point": (WRONG, "r = candidate(2, 3)\nassert same(r, 5) == 'yes'", {"entry_point": "add"}),
}

# A solution that says yes to everything, and tests that would take its word for it.
YES = (
    "def same(*a, **k):\n    return True\ndef text(*a):\n    return 'True'\ndef add(a, b):\n    return 0\ndef verify(*a):\n    pass\n"
    "class Checker:\n    def check(self, *a):\n        return True\n    @staticmethod\n    def fine(*a):\n        return True\n"
    "    def __call__(self, *a):\n        return True\n    def __eq__(self, o):\n        return True\n    def __contains__(self, o):\n        return True\n")
TRUSTING = (
    "g = same\nassert g(add(2, 3), 5)", "g, h = same, add\nassert g(h(2, 3), 5)", "g = Checker\nassert g().check(add(2, 3), 5)",
    "c = Checker()\nassert c.check(add(2, 3), 5)", "g = Checker().check\nassert g(add(2, 3), 5)", "g = Checker.fine\nassert g(add(2, 3), 5)",
    "assert Checker.fine(add(2, 3), 5)", "for g in [same]:\n    assert g(add(2, 3), 5)", "fs = {'s': same}\nassert fs['s'](add(2, 3), 5)",
    "assert [same][0](add(2, 3), 5)", "eq = lambda a, b: same(a, b)\nassert eq(add(2, 3), 5)",
    "import functools\nassert functools.partial(same, 5)(add(2, 3))", "import functools\np = functools.partial(same, 5)\nassert p(add(2, 3))",
    "def t(f=same):\n    assert f(add(2, 3), 5)\nt()", "assert same(add(2, 3), 5) > 0", "assert same(add(2, 3), 5) != 0",
    "assert same(add(2, 3), 5) is not False", "assert same(add(2, 3), 5) >= 1",
    "assert same(add(2, 3), 5) in (True, 1)", "assert [same(add(2, 3), 5)] == [True]", "assert (same(add(2, 3), 5),) == (True,)",
    "assert str(same(add(2, 3), 5)) == 'True'", "assert text(add(2, 3), 5) == 'True'", "assert text(add(2, 3), 5).lower() == 'true'",
    "assert same(add(2, 3), 5) & True", "assert not not same(add(2, 3), 5)", "assert not (not same(add(2, 3), 5))",
    "assert (x := same(add(2, 3), 5))", "match same(add(2, 3), 5):\n    case True:\n        pass\n    case _:\n        assert False",
    "try:\n    verify(add(2, 3), 5)\nexcept AssertionError:\n    raise\nassert True", "verify(add(2, 3), 5)\nassert True",
    "ok = True\nfor a, b, c in [(2, 3, 5)]:\n    ok = ok and same(add(a, b), c)\nassert ok",
    "n = 0\nfor a, b, c in [(2, 3, 5)]:\n    if same(add(a, b), c):\n        n += 1\nassert n == 1",
    "n = sum(1 for a, b, c in [(2, 3, 5)] if same(add(a, b), c))\nassert n == 1", "res = [same(add(2, 3), 5)]\nassert all(res)",
    "res = []\nres.append(same(add(2, 3), 5))\nassert all(res)", "res = {}\nres['x'] = same(add(2, 3), 5)\nassert res['x']",
    "class H:\n    pass\nh = H()\nh.r = same(add(2, 3), 5)\nassert h.r", "def run():\n    return same(add(2, 3), 5)\nassert run()",
    "def run():\n    yield same(add(2, 3), 5)\nassert all(run())", "run = lambda: same(add(2, 3), 5)\nassert run()",
    "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertTrue(same(add(2, 3), 5))",
    "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(same(add(2, 3), 5), True)",
    "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertIn(same(add(2, 3), 5), [True])",
    "assert Checker() == add(2, 3)", "assert add(2, 3) in Checker()", "assert add(2, 3) == Checker()", "assert Checker()(add(2, 3), 5)",
    "assert same(a=add(2, 3), b=5)", "assert same(*[add(2, 3), 5])", "x = [add(2, 3), 5]\nassert same(*x)",
    "x = {'a': add(2, 3), 'b': 5}\nassert same(**x)", "assert same(f'{add(2, 3)}', '5')", "assert same(str(add(2, 3)), '5')",
    "assert same([add(2, 3)], [5])", "assert same({'r': add(2, 3)}, {'r': 5})", "assert same(add(2, 3) + 0, 5)", "assert same(-add(2, 3), -5)",
    "assert same(add(2, 3) == 5)", "assert same(lambda: add(2, 3), 5)", "assert same(add, 2, 3, 5)",
    "import solution\nassert solution.same(solution.add(2, 3), 5)", "from solution import same as s, add as a\nassert s(a(2, 3), 5)",
    "import solution as sol\nr = sol.add(2, 3)\nassert sol.same(r, 5)", "assert getattr(Checker, 'fine')(add(2, 3), 5)",
    "assert same.__call__(add(2, 3), 5)", "assert Checker().check.__call__(add(2, 3), 5)",
    "import operator\nassert operator.call(same, add(2, 3), 5)", "assert (same if True else None)(add(2, 3), 5)",
    "assert (lambda f: f(add(2, 3), 5))(same)", "def apply(f, *a):\n    return f(*a)\nassert apply(same, add(2, 3), 5)",
    "assert max(map(same, [add(2, 3)], [5]))", "assert next(map(same, [add(2, 3)], [5]))", "assert any(x for x in [same(add(2, 3), 5)])",
    "while not same(add(2, 3), 5):\n    raise AssertionError\nassert True", "if same(add(2, 3), 5):\n    pass\nelse:\n    raise AssertionError",
    "assert False if not same(add(2, 3), 5) else True",
    "import pytest\n@pytest.mark.parametrize('a,b,c', [(2, 3, 5)])\ndef test(a, b, c):\n    assert same(add(a, b), c)",
    "import pytest\n@pytest.fixture\ndef r():\n    return add(2, 3)\ndef test(r):\n    assert same(r, 5)",
    "import pytest\n@pytest.fixture\ndef eq():\n    return same\ndef test(eq):\n    assert eq(add(2, 3), 5)",
    "import json\nassert json.loads(json.dumps(same(add(2, 3), 5)))", "assert eval('same(add(2, 3), 5)')",
    "exec('r = same(add(2, 3), 5)')\nassert r", "exec('assert same(add(2, 3), 5)')",
)

PROGRAMS = {
    "reads by lines": ("import sys\nprint(sum(map(int, sys.stdin.buffer.readline().split())), sys.stdin.read().strip())\n", "1 2\nx\n", "3 x\n"),
    "standard input by its path": ("print(len(open('/dev/stdin').read().split()), open(1, 'w', closefd=False).write('') )\n", "a b\n", "2 0\n"),
    "an output of its own": ("import sys, io\nclass W:\n    def __init__(self, file):\n        self.file, self.kept = file, []\n    def write(self, text):\n        self.kept.append(text)\n"
                             "    def flush(self):\n        self.file.write(''.join(self.kept))\n        self.kept.clear()\nsys.stdout = W(sys.stdout)\nprint('kept')\n", "", "kept\n"),
    "no output any more": ("import sys\nprint(1)\nsys.stdout.flush()\ndel sys.stdout\n", "", "1\n"),
    "a thread": ("import threading\nthreading.stack_size(1 << 27)\nt = threading.Thread(target=lambda: print(int(input()) + 1))\nt.start()\nt.join()\n", "1\n", "2\n"),
    "descriptors": ("import os, sys\nprint(os.read(sys.stdin.fileno(), 9).split(), sys.stdin.mode, sys.stdout.mode)\n", "a b\n", "[b'a', b'b'] r w\n"),
}


class Harness(unittest.TestCase):
    def test_honest_solutions_are_paid(self):
        for name, (solution, test, more) in PAID.items():
            with self.subTest(name):
                self.assertEqual(two_sides.judge(solution, test, **more), {"verdict": "passed"})

    def test_what_is_wrong_is_not(self):
        for name, (solution, test, more) in REFUSED.items():
            with self.subTest(name):
                self.assertIn(two_sides.judge(solution, test, **more)["verdict"], ("failed", "unverified"))

    def test_a_broken_test_says_so(self):
        for name, (solution, test, more) in BROKEN.items():
            with self.subTest(name):
                self.assertEqual(two_sides.judge(solution, test, **more)["verdict"], "broken")

    def test_no_solution_judges_itself(self):
        for test in TRUSTING:
            with self.subTest(test):
                self.assertNotEqual(two_sides.judge(YES, test)["verdict"], "passed")

    def test_programs_end_as_anywhere(self):
        for name, (program, stdin, expected) in PROGRAMS.items():
            with self.subTest(name):
                ended = two_sides.run(program, stdin)
                self.assertEqual((ended["end"], ended["stdout"]), ("finished", expected))

    def test_a_deep_recursion_is_told_in_few_words(self):
        ended = two_sides.run("import sys\nsys.setrecursionlimit(5000)\ndef even(n):\n    return odd(n)\ndef odd(n):\n    return even(n)\neven(0)\n")
        self.assertEqual((ended["end"], ended["exception"]), ("uncaught", "RecursionError"))
        self.assertIn("deeper", ended["cannot"])
        self.assertIn("RecursionError", ended["stderr"].splitlines()[-1])
        self.assertTrue(ended["stderr"].startswith("Traceback") and 4000 < len(ended["stderr"]) < 10_000, len(ended["stderr"]))

    def test_a_judged_test_leaves_nothing_behind(self):
        def state():
            return (list(sys.meta_path), sorted({"pytest", "judge", "pandas"} & set(sys.modules)), random.seed, unittest.main, builtins.input,
                    sys.stdout, list(warnings.filters))

        before = state()
        found = two_sides.harness.test_side.judge({"op": "judge", "setup": "", "test": "import pandas, pytest\nassert 1 == 1", "entry_point": None})
        self.assertEqual(found, {"verdict": "broken", "reason": "the test never asks the solution for anything"})
        self.assertEqual(state(), before)

    def test_no_hack_is_paid(self):
        hacks = os.path.join(two_sides.RUNTIME, "..", "..", "..", "..", "rewards", "tests", "hacks")
        tests = ["assert add(2, 3) == 5 and add(4, 4) == 8", "assert abs(add(2, 3) - 5) < 1e-6 and not add(4, 4) != 8", "assert str(add(4, 5)) == '9'",
                 "x = [add(2, 3), add(4, 4)]\nassert x == [5, 8] and sorted(x)[0] == 5"]
        for file in sorted(os.listdir(hacks)):
            if file in ("hang.py", "exhaust_memory.py", "frames.py", "read_source.py", "read_heap.py"):
                continue  # they need the sandbox: its limits, or a process without this file in it
            with open(os.path.join(hacks, file), encoding="utf-8") as program:
                solution = program.read()
            for test in tests:
                with self.subTest(file, test=test):
                    self.assertNotEqual(two_sides.judge(solution, test)["verdict"], "passed")


if __name__ == "__main__":
    unittest.main()
