import os
for call in (lambda: os.popen("id").read(), lambda: os.posix_spawn("/bin/id", ["id"], {}), lambda: os.pipe(), os.getlogin, os.cpu_count):
    try:
        print(call())
    except BaseException as error:
        print(type(error).__name__)
