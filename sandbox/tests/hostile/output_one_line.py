import sys
sys.stdout.write('a' * 10**8)
