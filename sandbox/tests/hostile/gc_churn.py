import gc
class A:
    pass
while True:
    a = A()
    a.a = a
    gc.collect()
