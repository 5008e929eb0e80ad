# Finders that import for ever, and modules that replace others.
import sys, importlib.abc, importlib.util, types
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        __import__(module.__name__ + "x")
sys.setrecursionlimit(1 << 30)
sys.meta_path.insert(0, Finder())
sys.path_hooks.insert(0, lambda path: Finder())
sys.path_importer_cache.clear()
for name in ("json", "os", "builtins", "harness", "sys"):
    sys.modules[name] = types.ModuleType(name)
import surely_not_there
