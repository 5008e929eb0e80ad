import sys
seen = []
def trace(frame, event, arg):
    seen.append((event, arg))
    if event == 'return' and frame.f_code.co_name != 'add':
        frame.f_locals
    return trace
sys.settrace(trace)
sys.setprofile(trace)
def add(a, b):
    return seen[-1][1] if seen else 0
