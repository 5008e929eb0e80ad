# Waits for what never comes: select, poll, selectors, and pipes.
import os
try:
    import select
    select.select([0], [], [0], None)
    poll = select.poll()
    poll.register(0, select.POLLPRI)
    poll.poll(None)
except BaseException as error:
    print(type(error).__name__)
try:
    import selectors
    chooser = selectors.DefaultSelector()
    chooser.register(0, selectors.EVENT_WRITE)
    while True:
        chooser.select(1e6)
except BaseException as error:
    print(type(error).__name__)
