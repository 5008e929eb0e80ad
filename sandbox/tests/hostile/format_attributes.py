# A format string that reads what it likes.
import os
class A:
    pass
try:
    print("{0.__init__.__globals__}".format(A()))
except BaseException as error:
    print(type(error).__name__)
print("{0.environ}".format(os))
