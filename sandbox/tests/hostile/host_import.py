import wit_world
while True:
    wit_world.call_out(b'x' * 10**6)
