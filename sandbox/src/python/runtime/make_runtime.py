"""Runs componentize-py so that two runs make the same component.

The interpreter is started once, at build time, and its memory becomes the component's. What it draws at random there (the
seed of string hashes) would stay fixed but differ from one build to the next, and with it the order of sets and the fuel that
programs use. The tool offers no way to choose it, so its source of randomness, the C library's `getrandom`, is made to
give zeros in this process, which is the seed that PYTHONHASHSEED=0 would give. Where that is not possible, the runtime works
all the same, and this says so by its exit status 3 ... see `python/install.rs`.

usage: python make_runtime.py WIT WORLD SOURCE_DIR APP OUTPUT
"""

import ctypes
import mmap
import platform
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


def main():
    wit, world, source, app, output = sys.argv[1:]
    import componentize_py

    repeatable = make_randomness_constant()
    sys.argv = ["componentize-py", "-q", "-d", wit, "-w", world, "componentize", "-p", source, app, "-o", output]
    componentize_py.script()
    if not repeatable:
        print("note: hash seeds are random on this system: set order and fuel differ between installations", file=sys.stderr)


main()
