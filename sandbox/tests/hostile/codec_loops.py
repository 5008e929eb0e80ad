# A codec of its own that never ends, and error handlers that never move on.
import codecs
def stay(error):
    return ("x" * 1000, error.start)
codecs.register_error("stay", stay)
try:
    print(len(b"\xff\xff".decode("ascii", "stay")))
except BaseException as error:
    print(type(error).__name__)
