# A hook for every event, which raises, and then one that loops.
import sys
def refuse(event, args):
    raise RuntimeError(event)
try:
    sys.addaudithook(refuse)
    open("x")
except BaseException as error:
    print(type(error).__name__)
