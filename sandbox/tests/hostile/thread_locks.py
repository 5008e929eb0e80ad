# Threads that wait for each other, and queues that nobody fills.
import queue, threading
a, b = threading.Lock(), threading.Lock()
def one():
    with a:
        with b:
            pass
def two():
    with b:
        with a:
            pass
a.acquire()
threads = [threading.Thread(target=f) for f in (one, two) * 50]
for thread in threads:
    thread.start()
threading.Barrier(2).wait()
queue.Queue().get()
