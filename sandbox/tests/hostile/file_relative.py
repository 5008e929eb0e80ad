open('../../../../../../tmp/dunwu-was-here', 'w').write('x')
