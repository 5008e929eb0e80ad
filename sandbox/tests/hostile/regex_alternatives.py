import re
re.fullmatch(r'(a|a|a)*b', 'a' * 64)
