import types
f = lambda: None
f.__code__ = f.__code__.replace(co_code=bytes([101, 255] * 50), co_stacksize=0)
f()
