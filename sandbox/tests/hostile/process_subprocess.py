import subprocess
subprocess.run(['touch', '/tmp/dunwu-was-here'])
