# Pools and futures that wait for themselves.
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    def wait():
        return pool.submit(wait).result()
    print(pool.submit(wait).result())
