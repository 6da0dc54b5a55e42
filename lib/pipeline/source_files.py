"""The project's source files and the facts kept about them, in memory and on disk."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

from lib.errors import ConfigError
from lib.pipeline import syntax
from lib.pipeline.hashing import digest, record
from lib.pipeline.lock import Record, write_json
from lib.pipeline.syntax import Facts, read_facts

Stamp = tuple[int, int, int, int]


class _Entry(msgspec.Struct, frozen=True):
    stamp: Stamp
    facts: Facts


class _Store(msgspec.Struct):
    """What lies on disk. `reader` names the parser and this Python: another one starts afresh."""

    reader: str
    modules: dict[str, _Entry] = {}
    data: dict[str, Record] = {}


class SourceFiles:
    """Modules of `lib` and `tasks` under one project folder. Nothing is imported."""

    def __init__(self, project: Path, store: Path) -> None:
        """`store` is the file in which facts survive the process; a broken one is simply rebuilt."""
        self._project, self._path = str(project), store
        self._reader = f"{sys.version} {_stamp(os.stat(syntax.__file__))}"
        self._store = self._load()
        self._files: dict[str, tuple[str, bool] | None] = {}
        self.targets: dict[str, list[str]] = {}  # import -> modules behind it: a hundred steps share most imports
        self._dirty = False

    def file(self, module: str) -> tuple[str, bool] | None:
        """(path relative to the project, whether it is a package) of a module; None when there is no such file."""
        if module not in self._files:
            self._files[module] = self._find(module)
        return self._files[module]

    def facts(self, module: str) -> Facts:
        """Facts about an existing module. Raises ConfigError where the source does not parse."""
        path, is_package = self.file(module) or (module.replace(".", "/") + ".py", False)
        try:
            stat = os.stat(f"{self._project}/{path}")
        except FileNotFoundError as error:
            raise ConfigError(f"there is no module {module} ({path})") from error
        entry = self._store.modules.get(module)
        if entry is None or entry.stamp != _stamp(stat):
            entry = self._store.modules[module] = _Entry(_stamp(stat), self._parse(module, path, is_package))
            self._dirty = True
        return entry.facts

    def data(self, module: str, name: str) -> dict[str, str]:
        """Hashes of the package data that the string `name` in `module` stands for, by path; mostly none.

        The rule: a string that spells the path of a file beside the module, relative to the module's folder, names
        that file; one that ends in a slash and spells a folder names every file in it. Python files are code.
        """
        path, _ = self.file(module) or ("", False)
        target = os.path.normpath(os.path.join(self._project, os.path.dirname(path), name))
        if not target.startswith(self._project + os.sep) or not os.path.exists(target):
            return {}
        found = [target] if os.path.isfile(target) else self._below(target) if name.endswith("/") else []
        return {os.path.relpath(file, self._project): self._hash(file) for file in found if not file.endswith(".py")}

    def save(self) -> None:
        """Keep what was learnt; where that cannot be written, the next process learns it again."""
        if self._dirty:
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._path, self._store)
            self._dirty = False

    def _load(self) -> _Store:
        try:
            store = msgspec.json.decode(self._path.read_bytes(), type=_Store)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return _Store(self._reader)
        return store if store.reader == self._reader else _Store(self._reader)

    def _find(self, module: str) -> tuple[str, bool] | None:
        base = module.replace(".", "/")
        for path, is_package in ((f"{base}.py", False), (f"{base}/__init__.py", True)):
            if os.path.isfile(f"{self._project}/{path}"):
                return path, is_package
        return None

    def _parse(self, module: str, path: str, is_package: bool) -> Facts:
        try:
            return read_facts(Path(self._project, path).read_bytes(), module, is_package=is_package)
        except SyntaxError as error:
            raise ConfigError(f"{path}, line {error.lineno}: {error.msg}") from error

    def _below(self, folder: str) -> list[str]:
        walk = ((top, name) for top, _, names in os.walk(folder) for name in names)
        return sorted(os.path.join(top, name) for top, name in walk if "__pycache__" not in top)

    def _hash(self, file: str) -> str:
        known = self._store.data.get(file)
        seen = record(Path(file), known)
        if seen != known:
            self._store.data[file], self._dirty = seen, True
        return seen.hash


@cache
def source_files(project: Path, cache: Path) -> SourceFiles:
    """The one `SourceFiles` of this process for a project; its facts are kept in the user's cache folder."""
    return SourceFiles(project, cache / "code" / f"{digest(str(project).encode())[:16]}.json")


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
