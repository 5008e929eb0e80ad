# Handlers at the end that each register two more.
import atexit
def more():
    atexit.register(more)
    atexit.register(more)
    raise SystemExit(0)
more_ = more
try:
    more()
except SystemExit:
    pass
