import os
os.symlink('/etc/passwd', 'x')
print(open('x').read())
