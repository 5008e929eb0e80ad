//! Python in the sandbox: what works, what is the same every time, and what happens to a worker that dies.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::sync::Mutex;

use dunwu_sandbox::python::{Case, TestRequest, Verdict};
use dunwu_sandbox::{Exit, Limits, Program, Sandbox};

fn run(sandbox: &Sandbox, program: &str, stdin: &str) -> (Exit, String, String) {
    let run = sandbox
        .run(
            &Program::python(program),
            stdin.as_bytes(),
            &Limits::default(),
        )
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (run.exit, text(run.stdout), text(run.stderr))
}

#[test]
fn programs_end_as_they_do_elsewhere() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    let cases = [
        ("print(int(input()) + 1)", "41\n", Exit::Finished, "42\n"),
        ("print('é', end='')", "", Exit::Finished, "é"),
        (
            "import sys\nprint(1)\nsys.exit()",
            "",
            Exit::Exited(0),
            "1\n",
        ),
        ("raise SystemExit(3)", "", Exit::Exited(3), ""),
        ("import sys\nsys.exit('no')", "", Exit::Exited(1), ""),
        (
            "print(1)\n1/0",
            "",
            Exit::Uncaught("ZeroDivisionError".to_owned()),
            "1\n",
        ),
        ("x ==", "", Exit::Uncaught("SyntaxError".to_owned()), ""),
        ("input()", "", Exit::Uncaught("EOFError".to_owned()), ""),
        // What the interpreter did before its snapshot has left no packages of a test behind.
        (
            "try:\n    import numpy\nexcept ImportError:\n    print('none')\nimport pandas",
            "",
            Exit::Uncaught("ModuleNotFoundError".to_owned()),
            "none\n",
        ),
        // A traceback of thousands of frames is no flood of output.
        (
            "import sys\nsys.setrecursionlimit(5000)\ndef even(n):\n    return odd(n)\ndef odd(n):\n    return even(n)\neven(0)",
            "",
            Exit::Uncaught("RecursionError".to_owned()),
            "",
        ),
        (
            "import sys\nprint(sys.stdin.read().split())",
            "a b\nc",
            Exit::Finished,
            "['a', 'b', 'c']\n",
        ),
        (
            "if __name__ == '__main__':\n    print(__name__)",
            "",
            Exit::Finished,
            "__main__\n",
        ),
        (
            "try:\n    open('x')\nexcept OSError:\n    print('none')",
            "",
            Exit::Finished,
            "none\n",
        ),
        (
            "import time\nt = time.time()\ntime.sleep(5)\nprint(round(time.time() - t))",
            "",
            Exit::Finished,
            "5\n",
        ),
        ("print(len(str(3 ** 9000)))", "", Exit::Finished, "4295\n"),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int\nprint(A(1))",
            "",
            Exit::Finished,
            "A(x=1)\n",
        ),
        (
            "import atexit\natexit.register(print, 'bye')",
            "",
            Exit::Finished,
            "bye\n",
        ),
    ];
    for (program, stdin, exit, stdout) in cases {
        let (found, out, err) = run(&sandbox, program, stdin);
        assert_eq!((found, out.as_str()), (exit, stdout), "{program}: {err}");
    }
    let (_, _, stderr) = run(&sandbox, "def f():\n    return 1/0\nf()", "");
    assert!(
        stderr.contains("line 2, in f") && !stderr.contains("harness"),
        "{stderr}"
    );
}

/// Each of these differed from CPython once.
#[test]
fn habits_of_programs_work_as_under_cpython() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    let cases = [
        ("\u{feff}print(1)", "", "1\n"),
        ("print(repr(input()))", "x\r\ny", "'x\\r'\n"),
        (
            "import os\nprint(type(os.path.dirname(__file__)).__name__)",
            "",
            "str\n",
        ),
        (
            "import atexit\nclass A:\n    def __del__(self):\n        print('gone')\natexit.register(print, 'exit')\na = A()\nprint('end')",
            "",
            "end\nexit\ngone\n",
        ),
        (
            "import asyncio\nasync def wait(n):\n    await asyncio.sleep(n)\n    print(n)\n    return n\n\
             async def main():\n    print(await asyncio.gather(wait(2), wait(1)))\n    try:\n        \
             await asyncio.wait_for(asyncio.sleep(99), 5)\n    except TimeoutError:\n        print('late')\nasyncio.run(main())",
            "",
            "1\n2\n[2, 1]\nlate\n",
        ),
        (
            "import sys\nsys.setrecursionlimit(20000)\ndef f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nprint(f(10000))",
            "",
            "10000\n",
        ),
        (
            "import random\nrandom.seed(42)\nprint(random.random(), random.sample(range(100), 3))",
            "",
            "0.6394267984578837 [3, 94, 35]\n",
        ),
    ];
    for (program, stdin, expected) in cases {
        let (exit, stdout, stderr) = run(&sandbox, program, stdin);
        assert_eq!(
            (exit, stdout.as_str()),
            (Exit::Finished, expected),
            "{program}\n{stderr}"
        );
    }
}

/// The objects of the snapshot are immortal; those of a program are not.
#[test]
fn what_a_program_makes_is_freed() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    let program = "import gc, sys, weakref\nclass A:\n    pass\na = A()\nr = weakref.ref(a)\nprint(sys.getrefcount(a) < 10)\n\
        del a\nprint(r() is None)\nb = A()\nb.b = b\nr = weakref.ref(b)\ndel b\ngc.collect()\nprint(r() is None)\n\
        total = 0\nfor i in range(3000):\n    total += len(bytes(1 << 20))\nprint(total == 3000 << 20)";
    let (exit, stdout, stderr) = run(&sandbox, program, "");
    assert_eq!(
        (exit, stdout.as_str()),
        (Exit::Finished, "True\nTrue\nTrue\nTrue\n"),
        "{stderr}"
    );
}

#[test]
fn the_standard_library_is_there() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    let modules = "abc array ast asyncio base64 bisect calendar cmath collections contextlib copy csv dataclasses datetime \
                   decimal difflib enum fractions functools graphlib hashlib heapq html inspect io ipaddress itertools json \
                   keyword logging math numbers operator os pathlib pickle pprint queue random re secrets shlex statistics \
                   string struct sys textwrap threading time timeit traceback types typing unicodedata unittest urllib.parse \
                   uuid warnings weakref xml.etree.ElementTree zoneinfo __future__";
    let imports: String = modules
        .split_whitespace()
        .map(|module| format!("import {module}\n"))
        .collect();
    let (exit, _, stderr) = run(&sandbox, &imports, "");
    assert_eq!(exit, Exit::Finished, "{stderr}");
}

#[test]
fn the_same_program_gives_the_same_output_and_fuel() {
    let Some(sandbox) = common::sandbox(2) else {
        return;
    };
    let program = Program::python(
        "import random, time, os, uuid\nprint({'a', 'b', 'c', 'd'}, hash('x'), random.random(), time.time(), os.urandom(4), uuid.uuid4(), id([]))",
    );
    let seen = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let run = sandbox.run(&program, b"", &Limits::default()).unwrap();
                    seen.lock()
                        .unwrap()
                        .insert((run.exit, run.stdout, run.stderr, run.fuel_used));
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn a_solution_and_its_test_never_meet() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    let verdict = |solution: &str, test: &str| {
        let request = TestRequest {
            solution: solution.to_owned(),
            setup: String::new(),
            prompt: None,
            entry_point: None,
            cases: vec![Case {
                code: test.to_owned(),
            }],
            stop_at_failure: false,
        };
        sandbox
            .test(&request, &Limits::default())
            .unwrap()
            .remove(0)
            .verdict
    };
    let passed = [
        ("def f(x):\n    return {1, x}", "assert f(2) == {2, 1}"),
        (
            "def f(x):\n    return map(str, x)",
            "assert list(f([1, 2])) == ['1', '2']",
        ),
        (
            "def f(x):\n    x.sort()",
            "a = [2, 1]\nf(a)\nassert a == [1, 2]",
        ),
        (
            "def f(x):\n    raise ValueError('no')",
            "try:\n    f(1)\nexcept ValueError as error:\n    assert str(error) == 'no'\nelse:\n    assert False",
        ),
        (
            "class P:\n    def __init__(self, x):\n        self.x = x\ndef f(ps):\n    return sum(p.x for p in ps)",
            "assert f([P(1), P(2)]) == 3",
        ),
        (
            "class S:\n    def __init__(self):\n        self.d = []\n    def push(self, x):\n        self.d.append(x)\n    def pop(self):\n        return self.d.pop()",
            "s = S()\ns.push(4)\nassert s.pop() == 4",
        ),
        (
            "def gcd(a, b):\n    return b and gcd(b, a % b) or a",
            "assert gcd(12, 8) == 4",
        ),
        ("def sum(a, b):\n    return a + b", "assert sum(1, 2) == 3"),
        ("def f():\n    return 10**400", "assert f() == 10**400"),
        // A function of the test's is called by the solution, and calls the solution in turn.
        (
            "def apply(f, x):\n    return f(x)",
            "assert apply(lambda x: x + 1, 3) == 4",
        ),
        (
            "def memo(f):\n    known = {}\n    def g(n):\n        if n not in known:\n            known[n] = f(n)\n        return known[n]\n    return g",
            "@memo\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nassert fib(40) == 102334155",
        ),
        (
            "def f(n):\n    yield from range(n)",
            "assert sum(f(5000)) == 12497500",
        ),
        // Python evaluates `f(a)` first: what `sorted` is given is empty by then, and the test is at fault, as anywhere.
        (
            "def f(a):\n    a.clear()\n    return []",
            "a = [2, 1]\nassert f(a) == sorted(a)",
        ),
        (
            "def ask():\n    return int(input()) * 2",
            "from unittest.mock import patch\nwith patch('builtins.input', return_value='4'):\n    assert ask() == 8",
        ),
    ];
    for (solution, test) in passed {
        assert_eq!(
            verdict(solution, test),
            Verdict::Passed,
            "{solution}\n{test}"
        );
    }
    // Lists that the solution was not handed, and what was read before it ran, are out of its reach.
    for test in [
        "a = [2, 1]\nwant = sorted(a)\nassert f(a) == want",
        "a = [2, 1]\nb = a[:]\nassert f(a) == sorted(b)",
        "a, b = [2, 1], [1, 2]\nassert f(a) == b",
    ] {
        let found = verdict("def f(a):\n    a.clear()\n    return []", test);
        assert!(matches!(found, Verdict::Failed(_)), "{test}: {found:?}");
    }
    assert!(matches!(
        verdict("def gcd(a, b):\n    return 0", "assert gcd(12, 8) == 4"),
        Verdict::Failed(_)
    ));
    assert!(matches!(
        verdict(
            "class A:\n    pass\ndef f():\n    return A()",
            "assert f() == 1"
        ),
        Verdict::Unverified(_)
    ));
    for broken in [
        "assert f() ==",
        "import numpy\nassert numpy.all(f())",
        "assert True",
        "f()\nwhile True:\n    assert 1",
    ] {
        let found = verdict("def f():\n    return 1", broken);
        assert!(matches!(found, Verdict::Broken(_)), "{broken}: {found:?}");
    }
    assert!(matches!(
        verdict("def f():\n    while True:\n        pass", "assert f() == 1"),
        Verdict::Failed(_)
    ));
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_is_killed_is_replaced() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    assert_eq!(run(&sandbox, "print(1)", "").1, "1\n");
    let workers = worker_processes();
    assert!(!workers.is_empty());
    for id in workers {
        std::process::Command::new("kill")
            .args(["-9", &id.to_string()])
            .status()
            .unwrap();
    }
    assert_eq!(run(&sandbox, "print(2)", "").1, "2\n");
}

/// The processes of all sandboxes of this program.
#[cfg(target_os = "linux")]
fn worker_processes() -> Vec<u32> {
    let mut workers = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let status = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = status
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if parent.as_deref() == Some(&std::process::id().to_string())
            && command.contains("sandbox-worker")
        {
            workers.push(id);
        }
    }
    workers
}

#[test]
fn too_little_memory_is_an_error_of_the_host() {
    let Some(sandbox) = common::sandbox(1) else {
        return;
    };
    let limits = Limits {
        memory_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = sandbox
        .run(&Program::python("1"), b"", &limits)
        .unwrap_err()
        .to_string();
    assert!(error.contains("memory_bytes = 1048576"), "{error}");
}
