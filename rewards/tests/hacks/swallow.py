import contextlib
class Quiet(contextlib.ContextDecorator):
    def __enter__(self):
        return self
    def __exit__(self, *_):
        return True
@Quiet()
def add(a, b):
    raise ValueError
