# An exception whose text never ends.
class Bad(Exception):
    def __str__(self):
        while True:
            pass
    __repr__ = __str__
raise Bad
