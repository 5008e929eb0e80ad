import os
for fd in range(3, 300):
    os.write(fd, b'dunwu')
