"""Runs the harness of the sandbox under the Python of the host: the solution's side in one process, the tests' side in another, joined by
pipes. The logic is the sandbox's own; its confinement is not there, so only programs of this repository belong here."""

import contextlib
import io
import json
import os
import signal
import struct
import sys
import types

RUNTIME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "python", "runtime")
# Seconds that a test may take.
PATIENCE = 20


def _module(name, **contents):
    module = sys.modules[name] = types.ModuleType(name)
    module.__dict__.update(contents)
    return module


def _load_harness():
    sys.path.insert(0, RUNTIME)
    sys.dont_write_bytecode = True
    if not hasattr(sys, "set_int_max_str_digits"):
        sys.exit("this Python is too old")
    wit_world = _module("wit_world", WitWorld=object, call_out=None)
    _module("snapshot", REQUESTS=(), settle=lambda: None)
    import harness
    return harness, wit_world


harness, wit_world = _load_harness()


def _send(fd, message):
    data = struct.pack("<I", len(message)) + message
    while data:
        data = data[os.write(fd, data):]


def _receive(fd):
    def take(count):
        data = b""
        while len(data) < count:
            part = os.read(fd, count - len(data))
            if not part:
                raise EOFError
            data += part
        return data
    return take(struct.unpack("<I", take(4))[0])


def _child(serve):
    """A process in which `serve(receive, send)` runs; its ends of two pipes and its id."""
    there, here = os.pipe(), os.pipe()
    pid = os.fork()
    if pid:
        os.close(there[0]), os.close(here[1])
        return here[0], there[1], pid
    try:
        os.close(there[1]), os.close(here[0])
        signal.alarm(PATIENCE)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        harness.standins.install()
        serve(lambda: _receive(there[0]), lambda message: _send(here[1], message))
    except EOFError:
        pass
    finally:
        os._exit(0)


def _serve_solution(receive, send):
    def call_out(message):
        send(message)
        return receive()

    wit_world.call_out = call_out
    while True:
        message = receive()
        send(harness.WitWorld.handle(None, message))


def judge(solution, test, setup="", prompt=None, entry_point=None):
    """The verdict on `solution`, as {"verdict", "reason"}."""
    request = {"op": "judge", "setup": setup, "prompt": prompt, "test": test, "entry_point": entry_point}
    prelude = harness.test_side.prelude(request)
    if "verdict" in prelude:
        return prelude
    reading, writing, pid = _child(_serve_solution)
    try:
        _send(writing, json.dumps({"op": "load", "program": solution, **prelude}).encode())
        try:
            ended = json.loads(_receive(reading))
        except EOFError:
            return {"verdict": "failed", "reason": "the solution: no end"}
        if ended.get("end") != "finished":
            return {"verdict": "unverified" if ended.get("cannot") else "failed", "reason": f"the solution: {ended}"}

        def serve_tests(_receive_here, send):
            def call_out(message):
                _send(writing, message)
                try:
                    return _receive(reading)
                except EOFError:
                    return b'{"dead": "the solution: no end"}'

            wit_world.call_out = call_out
            send(harness.WitWorld.handle(None, json.dumps(request).encode()))

        reply, closing, judge_pid = _child(serve_tests)
        try:
            return json.loads(_receive(reply))
        except EOFError:
            return {"verdict": "broken", "reason": "the test: no end"}
        finally:
            os.close(reply), os.close(closing)
            os.waitpid(judge_pid, 0)
    finally:
        os.close(reading), os.close(writing)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def run(program, stdin=""):
    """How a program ends, and what it writes."""
    reading, writing, pid = _child(lambda receive, send: _run_program(json.loads(receive()), send))
    _send(writing, json.dumps({"program": program, "stdin": stdin}).encode())
    try:
        return json.loads(_receive(reading))
    except EOFError:
        return {"end": "none", "stdout": ""}
    finally:
        os.close(reading), os.close(writing)
        os.waitpid(pid, 0)


def _run_program(request, send):
    given = os.memfd_create("stdin")
    os.write(given, request["stdin"].encode())
    os.lseek(given, 0, os.SEEK_SET)
    written, complained = os.memfd_create("stdout"), os.memfd_create("stderr")
    os.dup2(given, 0), os.dup2(written, 1), os.dup2(complained, 2)
    harness._open_streams()
    ended = json.loads(harness.WitWorld.handle(None, json.dumps({"op": "run", "program": request["program"]}).encode()))
    ended["stdout"] = os.pread(written, 1 << 24, 0).decode("utf-8", "replace")
    ended["stderr"] = os.pread(complained, 1 << 24, 0).decode("utf-8", "replace")
    send(json.dumps(ended).encode())
