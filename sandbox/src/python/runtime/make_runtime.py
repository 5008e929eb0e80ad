"""Runs componentize-py so that two runs make the same component.

The interpreter is started once, at build time, and its memory becomes the component's. What it draws at random there (the
seed of string hashes) would stay fixed but differ from one build to the next, and with it the order of sets and the fuel that
programs use. The tool offers no way to choose it, so its source of randomness, the C library's `getrandom`, is made to
give zeros in this process, which is the seed that PYTHONHASHSEED=0 would give. Where that is not possible, the runtime works
all the same, and a note on standard error says so.

Afterwards the objects in that memory are made immortal, which spares each run a copy of their pages: see `make_immortal`.

usage: python make_runtime.py WIT WORLD SOURCE_DIR APP OUTPUT
"""

import bisect
import ctypes
import mmap
import platform
import struct
import sys

CODE = {
    # mov rcx, rsi; mov rdx, rsi; xor eax, eax; rep stosb; mov rax, rdx; ret
    "x86_64": "4889f14889f231c0f3aa4889d0c3",
    # mov x3, x1; cbz x3, 5f; strb wzr, [x0], #1; sub x3, x3, #1; b -12; mov x0, x1; ret
    "aarch64": "e30301aa830000b41f140038630400d1fdffff17e00301aac0035fd6",
}


def make_randomness_constant():
    code = CODE.get(platform.machine())
    if code is None or not sys.platform.startswith("linux"):
        return False
    code = bytes.fromhex(code)
    library = ctypes.CDLL(None)
    address = ctypes.cast(library.getrandom, ctypes.c_void_p).value
    start = address & ~(mmap.PAGESIZE - 1)
    end = (address + len(code) + mmap.PAGESIZE - 1) & ~(mmap.PAGESIZE - 1)
    if library.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
        return False
    ctypes.memmove(address, code, len(code))
    return True


# What stands before the list of objects in the snapshot (`_MARK` in snapshot.py).
MARK = struct.pack("<6I", 0x6E756477, 0x9E3779B9, 0x7F4A7C15, 0xF39CC060, 0x5CEDC834, 0x2FE1C2A5)
# The reference count of an immortal object on a 32-bit system: `_Py_IMMORTAL_INITIAL_REFCNT` in CPython's Include/refcount.h.
IMMORTAL = 5 << 28
# More references than any object has; what was freed begins with an address instead of a count.
MOST_REFERENCES = 1 << 16


def number(code, at):
    """The LEB128 number at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = code[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if not byte & 0x80:
            return value, at


def sections(code, start, end):
    """Identifier, start and end of each section of a module or component."""
    while start < end:
        kind = code[start]
        size, start = number(code, start + 1)
        yield kind, start, start + size
        start += size


def segments(code):
    """Address in memory, place in the file and length of what is put at a fixed address, in any module of the component."""
    for kind, start, end in sections(code, 8, len(code)):
        if kind != 1:
            continue
        for kind, at, _ in sections(code, start + 8, end):
            if kind != 11:
                continue
            count, at = number(code, at)
            for _ in range(count):
                flags, at = number(code, at)
                address = None
                if flags == 0:
                    if code[at] != 0x41:
                        sys.exit("a data segment of the component is not at a fixed address")
                    address, at = number(code, at + 1)
                    at += 1
                elif flags != 1:
                    sys.exit(f"a data segment of the component is of the unknown kind {flags}")
                length, at = number(code, at)
                if address is not None:
                    yield address, at, length
                at += length


def make_immortal(path):
    """Makes the objects that snapshot.py lists immortal, in the image of the memory: nothing counts references to them any more,
    and a page that is only read stays shared by all instances."""
    with open(path, "rb") as file:
        code = bytearray(file.read())
    at = code.find(MARK)
    if at < 0 or code.find(MARK, at + 1) >= 0:
        sys.exit("the list of objects is not in the component once")
    (count,) = struct.unpack_from("<I", code, at + len(MARK))
    listed = bytes(code[at + len(MARK) + 4 :][: 8 * count])
    places = sorted(segments(code))
    starts = [address for address, _, _ in places]
    changed = 0
    for address, kind in struct.iter_unpack("<II", listed):
        start, at, length = places[bisect.bisect_right(starts, address) - 1]
        if not start <= address <= start + length - 8:
            continue
        references, found = struct.unpack_from("<II", code, at + address - start)
        if found == kind and 0 < references < MOST_REFERENCES:
            struct.pack_into("<I", code, at + address - start, IMMORTAL)
            changed += 1
    if changed < count // 2:
        sys.exit(f"only {changed} of the {count} listed objects are in the component")
    with open(path, "wb") as file:
        file.write(code)


def main():
    wit, world, source, app, output = sys.argv[1:]
    import componentize_py

    repeatable = make_randomness_constant()
    sys.argv = ["componentize-py", "-q", "-d", wit, "-w", world, "componentize", "-p", source, app, "-o", output]
    componentize_py.script()
    make_immortal(output)
    if not repeatable:
        print("note: hash seeds are random on this system: set order and fuel differ between installations", file=sys.stderr)


main()
