"""The code a step's result depends on, as a digest for each part of it.

In `tasks` the parts are top-level definitions: the step's function and, transitively, what it mentions. In `lib` they
are whole modules, with everything they import, at the top or inside functions. Package data that such code names (see
`SourceFiles.data`) counts; `lib.pipeline` does not. Comments, docstrings and layout never do.
"""

from __future__ import annotations

from collections.abc import Iterable

from lib.errors import ConfigError
from lib.pipeline.hashing import digest_json
from lib.pipeline.source_files import SourceFiles
from lib.pipeline.syntax import Facts, Unit

_KIT = "lib.pipeline"


def code_digests(sources: SourceFiles, run: str) -> dict[str, str]:
    """Digests of everything that `run` ("module:function") reaches, by module, definition or data file.

    Keys: "lib.train.lora", "tasks.phase1a_base_training:train", "tasks.phase1a_base_training:" (statements that run on
    import), "lib/data/table.toml". Raises ConfigError where the function is missing or a file does not parse.
    """
    module, _, function = run.partition(":")
    if function not in sources.facts(module).units:
        raise ConfigError(f"{module} defines no {function}: see `run` in the declaration")
    walk = _Walk(sources)
    if _is_lib(module):
        walk.module(module)
    else:
        walk.definition(module, function)
    sources.save()
    return walk.digests


def loadable_modules(sources: SourceFiles, digests: Iterable[str]) -> list[str]:
    """Modules of `lib` and `tasks` that a run may load: the hashed ones, and what importing those brings along.

    A task module's imports at the top all happen, whether or not the step's function uses them.
    """
    todo = [key.partition(":")[0] for key in digests if "/" not in key]
    found: set[str] = set()
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += [name for target in _on_import(sources.facts(module), module) for name in _resolve(sources, target)]
    return sorted(found)


def keywords(sources: SourceFiles, run: str) -> list[str]:
    """Parameters of the function, from its source; those without a default end in "!"."""
    module, _, function = run.partition(":")
    return sources.facts(module).parameters.get(function, ["**"])


class _Walk:
    """Collects digests depth first."""

    def __init__(self, sources: SourceFiles) -> None:
        self.digests: dict[str, str] = {}
        self._sources = sources

    def module(self, name: str) -> None:
        """A module of `lib`, or an `__init__`: as a whole, and everything it imports."""
        if name in self.digests:
            return
        whole = self._sources.facts(name).whole
        self.digests[name] = whole.digest
        self._data(name, whole)
        for target in whole.imports:
            self._follow(target)

    def definition(self, module: str, name: str) -> None:
        """One top-level name of a module of `tasks`, and everything it mentions."""
        facts = self._sources.facts(module)
        self._add(f"{module}:{name}", facts, facts.units[name])
        for package in _packages(module):
            self.module(package)
        self._add(f"{module}:", facts, facts.always)
        for target in facts.unnamed:
            self._follow(target)

    def _add(self, key: str, facts: Facts, units: list[Unit]) -> None:
        if key in self.digests or not units:
            return
        names = {name for unit in units for name in unit.names}
        imported = sorted(f"{name}={facts.bindings[name]}" for name in names & facts.bindings.keys())
        self.digests[key] = digest_json([[unit.digest for unit in units], imported])
        module = key.partition(":")[0]
        for unit in units:
            self._mentioned(module, facts, unit)
            self._data(module, unit)

    def _mentioned(self, module: str, facts: Facts, unit: Unit) -> None:
        for name in unit.names:
            if name in facts.units:
                self.definition(module, name)
            if name in facts.bindings:
                taken = [attr.partition(".")[2] for attr in unit.attributes if attr.startswith(f"{name}.")]
                self._follow(facts.bindings[name], taken)
        for target in unit.imports:
            self._follow(target)

    def _follow(self, target: str, taken: Iterable[str] = ()) -> None:
        """An import: "module:name"; `taken` are the attributes used of it, should it be a module of `tasks`."""
        for module in _resolve(self._sources, target):
            if _is_lib(module) or (self._sources.file(module) or ("", True))[1]:
                self.module(module)
            else:
                self._task_module(module, target, taken)

    def _task_module(self, module: str, target: str, taken: Iterable[str]) -> None:
        known = self._sources.facts(module).units
        base, _, name = target.partition(":")
        wanted = [name] if base == module and name in known else [attr for attr in taken if attr in known]
        for each in wanted or list(known):
            self.definition(module, each)

    def _data(self, module: str, unit: Unit) -> None:
        for name in unit.files:
            self.digests.update(self._sources.data(module, name))


def _resolve(sources: SourceFiles, target: str) -> list[str]:
    """The project's own modules behind "module:name", packages first; none for the kit and for other people's code."""
    if target not in sources.targets:
        sources.targets[target] = _modules(sources, target)
    return sources.targets[target]


def _modules(sources: SourceFiles, target: str) -> list[str]:
    base, _, name = target.partition(":")
    if base.partition(".")[0] not in ("lib", "tasks"):
        return []
    whole = [f"{base}.{name}"] if name and sources.file(f"{base}.{name}") else [base]
    found = [*_packages(whole[0]), *whole]
    return [module for module in found if not f"{module}.".startswith(f"{_KIT}.") and sources.file(module)]


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _on_import(facts: Facts, module: str) -> list[str]:
    if _is_lib(module):
        return facts.whole.imports
    return [*facts.bindings.values(), *facts.unnamed, *(target for unit in facts.always for target in unit.imports)]


def _is_lib(module: str) -> bool:
    return module == "lib" or module.startswith("lib.")
