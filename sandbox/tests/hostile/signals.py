# Alarms, handlers, and signals to itself and to its parent.
import os, signal
def again(*_):
    signal.raise_signal(signal.SIGINT)
for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGKILL", "SIGSEGV", "SIGSTOP"):
    number = getattr(signal, name, None)
    if number is None:
        print(name, "unknown")
        continue
    for act in (lambda: signal.signal(number, again), lambda: os.kill(os.getpid(), number), lambda: os.kill(os.getppid(), number), lambda: os.killpg(0, number)):
        try:
            act()
        except BaseException as error:
            print(name, type(error).__name__)
try:
    signal.alarm(1)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
except BaseException as error:
    print(type(error).__name__)
while True:
    try:
        signal.raise_signal(2)
    except BaseException:
        pass
