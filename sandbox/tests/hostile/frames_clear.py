# Clears and jumps the frames of those who called.
import sys
frame = sys._getframe()
while frame is not None:
    try:
        frame.f_trace = lambda *a: None
        frame.f_lineno = 1
    except BaseException as error:
        print(type(error).__name__)
    try:
        frame.clear()
    except BaseException as error:
        print(type(error).__name__)
    try:
        frame.f_globals.clear()
        frame.f_builtins.clear()
    except BaseException as error:
        pass
    frame = frame.f_back
