# Memory by addresses: what there is of it.
import sys
try:
    import ctypes
    print(ctypes.string_at(id(1), 64))
    ctypes.memset(0, 1, 1 << 30)
except BaseException as error:
    print(type(error).__name__)
try:
    import _ctypes
    print(_ctypes.PyObj_FromPtr(8))
except BaseException as error:
    print(type(error).__name__)
view = memoryview(bytearray(8)).cast("Q")
try:
    view[1 << 40] = 1
except BaseException as error:
    print(type(error).__name__)
