# Code out of bytes that no compiler wrote.
import marshal, types
def f():
    return 1
code = f.__code__
for flip in range(0, 2000, 7):
    data = bytearray(marshal.dumps(code))
    data[flip % len(data)] ^= 1 << (flip % 8)
    try:
        made = marshal.loads(bytes(data))
        exec(made, {})
    except BaseException:
        pass
print("survived")
