"""Feeds `dunwu exec --jsonl` many programs, one in twenty of them hostile, and watches the memory of it and its workers.

usage: python3 sandbox/results/soak.py DUNWU PROGRAMS.jsonl COUNT

Prints resident memory at each tenth of the way to standard error while it runs, then one JSON object: results by kind,
resident memory in MiB of the program and of its workers by tenths (the highest of ten readings each), the most of both
together, and whether every program had a result, in order.
"""
import collections, glob, json, os, random, subprocess, sys, threading, time

dunwu, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
here = os.path.dirname(os.path.abspath(__file__))
honest = [json.loads(line) for line in open(path)]
hostile = [{"program": open(file).read(), "stdin": ""} for file in sorted(glob.glob(os.path.join(here, "../tests/hostile/*.py")))]
draw = random.Random(1)
rows = [draw.choice(hostile if draw.random() < 0.05 else honest) for _ in range(count)]
expected = {}
process = subprocess.Popen([dunwu, "exec", "--jsonl", "--fuel", "200000000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def feed():
    for row in rows:
        process.stdin.write(json.dumps(row) + "\n")
    process.stdin.close()


def resident():
    """MiB of the process, and of its children together."""
    own, children = 0, 0
    for entry in glob.glob("/proc/[0-9]*"):
        try:
            parent = open(entry + "/stat").read().rsplit(")", 1)[1].split()[1]
            if int(entry[6:]) == process.pid or int(parent) == process.pid:
                kib = next(int(line.split()[1]) for line in open(entry + "/status") if line.startswith("VmRSS"))
                own, children = (own + kib, children) if int(entry[6:]) == process.pid else (own, children + kib)
        except (OSError, StopIteration):
            pass
    return round(own / 1024, 1), round(children / 1024, 1)


def tenth(readings):
    """The highest of some readings: the program's, its workers'."""
    return [max(own for own, _ in readings), max(workers for _, workers in readings)]


threading.Thread(target=feed).start()
kinds, memory, differing, start = collections.Counter(), [], 0, time.time()
for index, line in enumerate(process.stdout):
    result = json.loads(line)
    kinds[result.get("exit", "error")] += 1
    key = (rows[index]["program"], rows[index]["stdin"])
    seen = (result.get("exit"), result.get("stdout"), result.get("fuel_used"))
    differing += expected.setdefault(key, seen) != seen
    if index % max(count // 100, 1) == 0:
        memory.append(resident())
        if len(memory) % 10 == 0:
            print(f"{index + 1} programs, {time.time() - start:.0f} s: MiB {tenth(memory[-10:])}", file=sys.stderr, flush=True)
tenths = [tenth(memory[at:at + 10]) for at in range(0, len(memory), 10)]
print(json.dumps({
    "programs": count, "results": sum(kinds.values()), "exit_code": process.wait(), "kinds": dict(kinds), "differing": differing,
    "resident_mib_by_tenth": tenths, "resident_mib_most": max(round(own + workers, 1) for own, workers in memory), "seconds": round(time.time() - start),
}))
