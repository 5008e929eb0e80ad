# All modules and builtins are taken away before the end.
import builtins, sys
names = [name for name in vars(builtins)]
modules = list(sys.modules)
for name in modules:
    try:
        vars(sys.modules[name]).clear() if name not in ("sys", "builtins") else None
    except BaseException:
        pass
sys.modules.clear()
for name in names:
    try:
        delattr(builtins, name)
    except BaseException:
        pass
