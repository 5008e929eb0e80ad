"""Feeds `dunwu exec --jsonl` many programs, one in twenty of them hostile, and watches the memory of it and its workers.

usage: python3 sandbox/results/soak.py DUNWU PROGRAMS.jsonl COUNT

Prints one JSON object: results by kind, resident memory in MiB at a tenth of the way and at the end (the highest of three
readings each), and whether every program had a result, in order.
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
    """MiB of the process and its children."""
    total = 0
    for entry in glob.glob("/proc/[0-9]*"):
        try:
            parent = open(entry + "/stat").read().rsplit(")", 1)[1].split()[1]
            if int(entry[6:]) == process.pid or int(parent) == process.pid:
                total += next(int(line.split()[1]) for line in open(entry + "/status") if line.startswith("VmRSS"))
        except (OSError, StopIteration):
            pass
    return total / 1024


threading.Thread(target=feed).start()
kinds, memory, differing, start = collections.Counter(), [], 0, time.time()
for index, line in enumerate(process.stdout):
    result = json.loads(line)
    kinds[result.get("exit", "error")] += 1
    key = (rows[index]["program"], rows[index]["stdin"])
    seen = (result.get("exit"), result.get("stdout"), result.get("fuel_used"))
    differing += expected.setdefault(key, seen) != seen
    if index % max(count // 100, 1) == 0:
        memory.append(round(resident(), 1))
third = max(len(memory) // 10, 3)
print(json.dumps({
    "programs": count, "results": sum(kinds.values()), "exit_code": process.wait(), "kinds": dict(kinds), "differing": differing,
    "resident_mib_early": max(memory[third:third + 3]), "resident_mib_late": max(memory[-3:]), "seconds": round(time.time() - start),
}))
