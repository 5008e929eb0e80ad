import os
for descriptor in range(3):
    try:
        os.close(descriptor)
    except OSError:
        pass
print("nobody hears this")
