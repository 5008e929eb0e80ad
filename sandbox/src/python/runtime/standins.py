"""What programs use and this system does not have: threads and processes run at once, one after another; the two ends of a size that is
32 bits here; results that are remembered without the C stack.
"""

import _thread
import concurrent.futures
import functools
import itertools
import os
import sys
import threading
import types

import files


# --- threads --------------------------------------------------------------------------------------------------------


def _start(self):
    """Runs what the thread is to run, at once and to its end."""
    if not self._initialized:
        raise RuntimeError("thread.__init__() not called")
    if getattr(self, "_ran", False):
        raise RuntimeError("threads can only be started once")
    self._ran = True
    before = threading.current_thread
    threading.current_thread = lambda: self
    try:
        self.run()
    except SystemExit:
        pass
    except BaseException as error:
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, self)))
    finally:
        threading.current_thread = before


def _join(self, timeout=None):
    if not getattr(self, "_ran", False):
        raise RuntimeError("cannot join thread before it is started")


class _Executor(concurrent.futures.Executor):
    """Runs each call when it is submitted."""

    def __init__(self, max_workers=None, *_args, initializer=None, initargs=(), **_kwargs):
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        self._closed = False
        if initializer is not None:
            initializer(*initargs)

    def submit(self, function, /, *args, **kwargs):
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        self._closed = True


# --- processes ------------------------------------------------------------------------------------------------------


class _Result:
    def __init__(self, make):
        self.error = self.value = None
        try:
            self.value = make()
        except Exception as error:
            self.error = error

    def get(self, timeout=None):
        if self.error is not None:
            raise self.error
        return self.value

    def wait(self, timeout=None):
        pass

    def ready(self):
        return True

    def successful(self):
        return self.error is None


class _Pool:
    """`multiprocessing.Pool` whose work is done at once."""

    def __init__(self, processes=None, initializer=None, initargs=(), *_args, **_kwargs):
        if initializer is not None:
            initializer(*initargs)

    def map(self, function, items, chunksize=None):
        return list(map(function, items))

    def starmap(self, function, items, chunksize=None):
        return list(itertools.starmap(function, items))

    def imap(self, function, items, chunksize=1):
        return map(function, items)

    imap_unordered = imap

    def apply(self, function, args=(), kwds={}):
        return function(*args, **kwds)

    def apply_async(self, function, args=(), kwds={}, callback=None, error_callback=None):
        result = _Result(lambda: function(*args, **kwds))
        told = callback if result.error is None else error_callback
        if told is not None:
            told(result.value if result.error is None else result.error)
        return result

    def map_async(self, function, items, chunksize=None, callback=None, error_callback=None):
        return self.apply_async(self.map, (function, list(items)), {}, callback, error_callback)

    def starmap_async(self, function, items, chunksize=None, callback=None, error_callback=None):
        return self.apply_async(self.starmap, (function, list(items)), {}, callback, error_callback)

    def close(self):
        pass

    terminate = join = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class _Process(threading.Thread):
    """`multiprocessing.Process`: a thread, as threads are here."""

    exitcode = property(lambda self: 0 if getattr(self, "_ran", False) else None)
    pid = property(lambda self: 1)

    def terminate(self):
        pass

    kill = close = terminate


class _Value:
    def __init__(self, _kind, value=0, *, lock=True):
        self.value, self._lock = value, threading.RLock()

    def get_lock(self):
        return self._lock

    get_obj = lambda self: self  # noqa: E731


def _multiprocessing():
    module = types.ModuleType("multiprocessing")
    pool = types.ModuleType("multiprocessing.pool")
    pool.Pool = pool.ThreadPool = _Pool
    import queue

    def array(kind, size, *, lock=True):
        return [0] * size if isinstance(size, int) else list(size)

    module.__dict__.update(
        Pool=_Pool, Process=_Process, cpu_count=lambda: 1, Queue=queue.Queue, SimpleQueue=queue.SimpleQueue, JoinableQueue=queue.Queue, pool=pool,
        Lock=threading.Lock, RLock=threading.RLock, Event=threading.Event, Semaphore=threading.Semaphore, Condition=threading.Condition, Value=_Value,
        Array=array, set_start_method=lambda *_, **__: None, get_start_method=lambda *_, **__: "fork", freeze_support=lambda: None,
        current_process=lambda: types.SimpleNamespace(name="MainProcess", pid=1), active_children=list, TimeoutError=TimeoutError,
        get_context=lambda *_: module, __path__=[],
    )
    sys.modules["multiprocessing"], sys.modules["multiprocessing.pool"] = module, pool
    module.dummy = sys.modules["multiprocessing.dummy"] = types.ModuleType("multiprocessing.dummy")
    module.dummy.__dict__.update(Pool=_Pool, Process=_Process)


# --- results that are remembered ------------------------------------------------------------------------------------


def results_without_c_stack():
    """`functools.lru_cache` in Python, for programs that recurse deeply: a recursion through it is as deep as one without it, and slower."""
    def lru_cache(maxsize=128, typed=False):
        if callable(maxsize) and isinstance(typed, bool):
            return lru_cache()(maxsize)
        if maxsize is not None and not isinstance(maxsize, int):
            raise TypeError("Expected first argument to be an integer, a callable, or None")
        size = None if maxsize is None else max(maxsize, 0)

        def decorate(function):
            wrapper = _wrapper(function, size, typed)
            wrapper.cache_parameters = lambda: {"maxsize": size, "typed": typed}
            return functools.update_wrapper(wrapper, function)
        return decorate

    functools.lru_cache = lru_cache
    functools.cache = lambda function, /: lru_cache(maxsize=None)(function)


def _wrapper(function, size, typed):
    results, absent, counts = {}, object(), [0, 0]
    make_key = functools._make_key

    def wrapper(*args, **kwargs):
        if kwargs or typed:
            key = make_key(args, kwargs, typed)
        elif len(args) == 1 and type(args[0]) in (int, str):
            key = args[0]
        else:
            key = args
        found = results.get(key, absent)
        if found is not absent:
            counts[0] += 1
            if size is not None:
                del results[key]
                results[key] = found
            return found
        counts[1] += 1
        found = function(*args, **kwargs)
        if size == 0:
            return found
        if size is not None and len(results) >= size and key not in results:
            del results[next(iter(results))]
        results[key] = found
        return found

    def cache_clear():
        results.clear()
        counts[:] = [0, 0]

    wrapper.cache_clear = cache_clear
    wrapper.cache_info = lambda: functools._CacheInfo(counts[0], counts[1], size, len(results))
    return wrapper


def install():
    """Puts the stand-ins in place."""
    sys.maxsize = 2 ** 63 - 1
    threading.Thread.start, threading.Thread.join = _start, _join
    threading.Thread.is_alive = lambda self: False
    threading.stack_size = _thread.stack_size = lambda size=0: 0
    os.cpu_count = lambda: 1
    concurrent.futures.ThreadPoolExecutor = concurrent.futures.ProcessPoolExecutor = _Executor
    for name in ("thread", "process"):
        module = sys.modules.setdefault(f"concurrent.futures.{name}", types.ModuleType(f"concurrent.futures.{name}"))
        module.ThreadPoolExecutor = module.ProcessPoolExecutor = _Executor
    _multiprocessing()
    files.install()
