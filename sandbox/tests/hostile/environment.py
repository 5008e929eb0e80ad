import os
print(os.environ['HOME'], os.environ['PATH'])
