"""Files that live in memory, for programs and tests that write one and read it again. There is no file of the host behind them: they begin
empty in every instance, and end with it. The two sides of a test have the same ones: what is written on one side is there on the other with
the next message.
"""

import builtins
import errno
import functools
import io
import os
import posixpath
import shutil
import stat
import tempfile

# Bytes that all files together may have.
ROOM = 32 << 20
_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2, "/dev/fd/0": 0, "/proc/self/fd/0": 0}

# When every file was changed, in seconds since 1970: when every guest believes that it started.
_WHEN = 1_735_689_600

contents = {}
_directories = {"/", "/tmp", "/work"}
# What the other side has.
_synced = {}
_count = [0]


def reset():
    """No file, as at the start."""
    contents.clear()
    _synced.clear()
    _directories.clear()
    _directories.update({"/", "/tmp", "/work"})


def changes():
    """The files that have changed since the sides last spoke: contents as digits, nothing for one that is gone."""
    if not contents and not _synced:
        return {}
    changed = {path: data.hex() for path, data in contents.items() if _synced.get(path) != data}
    changed.update({path: None for path in _synced if path not in contents})
    _synced.clear()
    _synced.update(contents)
    return changed


def apply(changed):
    """Makes here what was changed there."""
    for path, data in changed.items():
        if data is None:
            contents.pop(path, None)
            _synced.pop(path, None)
        else:
            contents[path] = _synced[path] = bytes.fromhex(data)
            _add_directories(posixpath.dirname(path))


def _add_directories(path):
    while path not in _directories:
        _directories.add(path)
        path = posixpath.dirname(path)


def _path(file):
    name = os.fspath(file)
    name = name.decode() if isinstance(name, bytes) else name
    if not name:
        raise _error(errno.ENOENT, file)
    return posixpath.normpath(posixpath.join("/work", name))


def _error(number, path):
    return OSError(number, os.strerror(number), path)


class _File(io.BytesIO):
    """An open file; what is written is there when it is closed or flushed."""

    def __init__(self, path, mode, data):
        super().__init__(data)
        self.path, self.mode, self.name, self.changed = path, mode, path, False
        if "a" in mode:
            self.seek(0, io.SEEK_END)

    def readable(self):
        return "r" in self.mode or "+" in self.mode

    def writable(self):
        return self.mode[:1] in ("w", "a", "x") or "+" in self.mode

    def read(self, *args):
        if not self.readable():
            raise io.UnsupportedOperation("not readable")
        return super().read(*args)

    def write(self, data):
        if not self.writable():
            raise io.UnsupportedOperation("not writable")
        self.changed = True
        return super().write(data)

    def truncate(self, *args):
        self.changed = True
        return super().truncate(*args)

    def flush(self):
        if self.changed and self.path in contents:
            data = self.getvalue()
            if sum(map(len, contents.values())) + len(data) > ROOM:
                raise _error(errno.ENOSPC, self.path)
            contents[self.path] = data
            self.changed = False

    def close(self):
        if not self.closed:
            self.flush()
        super().close()

    def fileno(self):
        raise io.UnsupportedOperation("fileno")


def _open(before):
    @functools.wraps(before)
    def open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if isinstance(file, int):
            return before(file, mode, buffering, encoding, errors, newline, closefd, opener)
        path = _path(file)
        if path in _STREAMS:
            return before(_STREAMS[path], mode, buffering, encoding, errors, newline, False, opener)
        kind = mode.replace("b", "").replace("t", "")
        if kind.replace("+", "") not in ("r", "w", "a", "x") or "b" in mode and "t" in mode:
            raise ValueError(f"invalid mode: {mode!r}")
        if path in _directories:
            raise _error(errno.EISDIR, file)
        if kind[0] == "r" and path not in contents or posixpath.dirname(path) not in _directories:
            raise _error(errno.ENOENT, file)
        if kind[0] == "x" and path in contents:
            raise _error(errno.EEXIST, file)
        if kind[0] in "wx":
            contents[path] = b""
        raw = _File(path, kind, contents.setdefault(path, b""))
        raw.name = file
        if "b" in mode:
            return raw
        text = io.TextIOWrapper(raw, encoding or "utf-8", errors, newline)
        text.mode = mode
        return text
    return open


def _remove(path, *, dir_fd=None):
    if contents.pop(_path(path), None) is None:
        raise _error(errno.EISDIR if _path(path) in _directories else errno.ENOENT, path)


def _rename(source, target, *, src_dir_fd=None, dst_dir_fd=None):
    if _path(source) not in contents:
        raise _error(errno.ENOENT, source)
    contents[_path(target)] = contents.pop(_path(source))


def _mkdir(path, mode=0o777, *, dir_fd=None):
    found = _path(path)
    if found in _directories or found in contents:
        raise _error(errno.EEXIST, path)
    if posixpath.dirname(found) not in _directories:
        raise _error(errno.ENOENT, path)
    _directories.add(found)


def _makedirs(name, mode=0o777, exist_ok=False):
    if _path(name) in _directories and not exist_ok:
        raise _error(errno.EEXIST, name)
    _add_directories(_path(name))


def _within(path):
    """Names of what lies directly within a directory."""
    prefix = path.rstrip("/") + "/"
    return sorted({name[len(prefix):].split("/")[0] for name in [*contents, *_directories] if name.startswith(prefix) and name != "/"})


def _rmdir(path, *, dir_fd=None):
    found = _path(path)
    if found not in _directories:
        raise _error(errno.ENOENT, path)
    if _within(found):
        raise _error(errno.ENOTEMPTY, path)
    _directories.discard(found)


def _rmtree(path, ignore_errors=False, *_, **__):
    found = _path(path)
    if found not in _directories:
        if ignore_errors:
            return
        raise _error(errno.ENOENT, path)
    prefix = found.rstrip("/") + "/"
    for name in [name for name in contents if name.startswith(prefix)]:
        del contents[name]
    _directories.difference_update({name for name in _directories if name == found or name.startswith(prefix)} - {"/"})


def _listdir(path="."):
    if _path(path) not in _directories:
        raise _error(errno.ENOENT, path)
    return _within(_path(path))


def _stat(before):
    def look(path, *, dir_fd=None, follow_symlinks=True):
        if isinstance(path, int):
            return before(path)
        found = _path(path)
        if found in contents:
            return os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, len(contents[found]), _WHEN, _WHEN, _WHEN))
        if found in _directories:
            return os.stat_result((stat.S_IFDIR | 0o755, 0, 0, 1, 0, 0, 0, _WHEN, _WHEN, _WHEN))
        raise _error(errno.ENOENT, path)
    return look


def _exists(path):
    return isinstance(path, int) or bool(path) and _path(path) in contents or _path(path) in _directories


def _temporary_name(suffix=None, prefix=None, dir=None):
    _count[0] += 1
    return posixpath.join(dir or "/tmp", f"{prefix or 'tmp'}{_count[0]:06}{suffix or ''}")


class _NamedFile:
    """`tempfile.NamedTemporaryFile`."""

    def __init__(self, mode="w+b", buffering=-1, encoding=None, newline=None, suffix=None, prefix=None, dir=None, delete=True, **_):
        self.name, self._delete = _temporary_name(suffix, prefix, dir), delete
        self.file = builtins.open(self.name, mode, encoding=encoding, newline=newline)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        return iter(self.file)

    def close(self):
        self.file.close()
        if self._delete:
            contents.pop(_path(self.name), None)


class _Directory:
    """`tempfile.TemporaryDirectory`."""

    def __init__(self, suffix=None, prefix=None, dir=None, **_):
        self.name = _mkdtemp(suffix, prefix, dir)

    def __enter__(self):
        return self.name

    def __exit__(self, *_):
        self.cleanup()

    def cleanup(self):
        _rmtree(self.name, True)


def _mkdtemp(suffix=None, prefix=None, dir=None):
    name = _temporary_name(suffix, prefix, dir)
    _mkdir(name)
    return name


def install():
    """Puts these files in the place of the system's."""
    builtins.open = io.open = _open(io.open)
    os.remove = os.unlink = _remove
    os.rename = os.replace = shutil.move = _rename
    os.mkdir, os.makedirs, os.rmdir, os.listdir = _mkdir, _makedirs, _rmdir, _listdir
    os.stat = os.lstat = _stat(os.stat)
    os.getcwd = lambda: "/work"
    os.access = lambda path, *_, **__: _exists(path)
    os.path.exists = os.path.lexists = _exists
    os.path.isfile = lambda path: bool(path) and _path(path) in contents
    os.path.isdir = lambda path: bool(path) and _path(path) in _directories
    os.path.getsize = lambda path: os.stat(path).st_size
    os.path.getmtime = os.path.getctime = os.path.getatime = lambda path: float(os.stat(path).st_mtime)
    shutil.rmtree = _rmtree
    tempfile.gettempdir = lambda: "/tmp"
    tempfile.mkdtemp, tempfile.NamedTemporaryFile, tempfile.TemporaryDirectory = _mkdtemp, _NamedFile, _Directory
