# Tracing, profiling and monitoring that never end, and swallow what ends them.
import sys, threading
def trace(frame, event, arg):
    try:
        while True:
            pass
    except BaseException:
        return trace
sys.setprofile(trace)
threading.settrace(trace)
try:
    sys.monitoring.use_tool_id(0, "x")
    sys.monitoring.register_callback(0, sys.monitoring.events.CALL, trace)
    sys.monitoring.set_events(0, sys.monitoring.events.CALL)
except BaseException:
    pass
len("x")
