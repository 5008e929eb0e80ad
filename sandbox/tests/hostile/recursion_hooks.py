# Endless recursion by hooks of the language: displayhook, excepthook, __class_getitem__, __set_name__, __missing__, metaclasses.
import sys
sys.setrecursionlimit(1 << 30)
class Again(dict):
    def __missing__(self, key):
        return self[key + 1]
class Meta(type):
    def __instancecheck__(cls, other):
        return isinstance(other, cls)
    def __call__(cls, *a):
        return cls(*a)
class Named(metaclass=Meta):
    def __class_getitem__(cls, item):
        return cls[item]
    def __format__(self, spec):
        return format(self, spec)
for act in (lambda: Again()[0], lambda: isinstance(1, Named), lambda: Named(), lambda: Named[0], lambda: sys.excepthook(*[None] * 3)):
    try:
        act()
    except BaseException as error:
        print(type(error).__name__)
def hook(*a):
    hook(*a)
sys.excepthook = hook
raise ValueError
