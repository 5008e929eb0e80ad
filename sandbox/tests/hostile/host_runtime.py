import componentize_py_runtime
componentize_py_runtime.call_import(0, [])
