# What a database would compute for ever, if there were one.
try:
    import sqlite3
    sqlite3.connect(":memory:").execute("with recursive t(x) as (select 1 union all select x + 1 from t) select count(*) from t").fetchall()
except ImportError as error:
    print(type(error).__name__)
