import os
os.system('touch /tmp/dunwu-was-here')
