"""Loading of a user's problem or function: ``FILE.py:NAME`` or ``package.module:NAME``."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from pymoo.core.problem import Problem

from moela.files.guard import read_bytes
from moela.functions.model.problem import problem as make_problem
from moela.quality.words import nearest, of_kind

# Names in a module that say what a function of it optimizes, as in `moela.problem`.
NEEDED = ("variables", "objectives")
OPTIONAL = ("constraints", "ref_point", "vectorized", "version")
# Further commands after `moela run`.
_COMMANDS = ("noc", "moe", "moe-on-chip")
_OWN_PACKAGES = ("moela", "problems", "moe_costmodel")
_HOME = Path(__file__).parents[3]  # the folder that holds them


def load_problem(word: str, settings: Sequence[str] = ()) -> Problem:
    """Return the problem that ``FILE.py:NAME`` or ``package.module:NAME`` names.

    Parameters
    ----------
    word : str
        NAME is a class of pymoo's Problem, an instance, or a function whose module has the names
        `NEEDED`, and perhaps some of `OPTIONAL`.
    settings : sequence of str
        ``name=value`` for each parameter of a class.

    Raises
    ------
    ValueError
        It names no problem; the message says what was expected, what came, and what to do.
    """
    place, colon, name = word.rpartition(":")
    if not colon:
        place, name = word, ""
    is_file = place.endswith(".py") or os.sep in place
    if not is_file and not colon:
        raise ValueError(
            f"{word}: must be noc, moe, moe-on-chip, FILE.py:NAME or package.module:NAME."
            f"{nearest(word, _COMMANDS)}"
        )
    module = _module_of_file(Path(place)) if is_file else _module_of_name(place)
    if not name:
        example = next(iter(_candidates(module)), "NAME")
        raise ValueError(
            f"{word}: the problem or function in the file must be named: {place}:{example}. "
            f"{_holds(module)}"
        )
    found = _attribute(module, place, name)
    if inspect.isclass(found) and issubclass(found, Problem):
        return _made(found, word, _values(settings))
    if settings:
        raise ValueError(f"--set goes with a class. Got {word}, which is {_kind(found)}.")
    if isinstance(found, Problem):
        return found
    if callable(found):
        return _of_function(found, module, place, name)
    raise ValueError(
        f"{word}: must be a function, a pymoo Problem class or an instance of one. Got "
        f"{of_kind(found)} instead. {_holds(module)}"
    )


def _module_of_file(path: Path) -> ModuleType:
    """Import a file, as a script of its folder would be, under the name of the file."""
    if not path.is_file():
        raise ValueError(f"{path}: must be a file that exists.")
    path = path.resolve()
    name = path.stem
    for package in _OWN_PACKAGES:
        for hiding in (path.parent / f"{package}.py", path.parent / package / "__init__.py"):
            own = _HOME / package / "__init__.py"
            # A clone of the project holds the same package, and hides nothing.
            if hiding.exists() and read_bytes(hiding) != read_bytes(own):
                raise ValueError(
                    f"{hiding}: must have another name, since it hides the package {package} in "
                    "worker processes. Rename it, or put the file elsewhere."
                )
    used = sys.modules.get(name)
    if used is not None and getattr(used, "__file__", None) == str(path):
        return used
    if used is not None or not name.isidentifier():
        name = f"user_{''.join(c if c.isalnum() else '_' for c in name)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: must be a Python file, with a name that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # for modules beside it, in workers, too
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"{path}: cannot be imported. {_where(error, path)}") from error
    import cloudpickle  # type: ignore[import-untyped, unused-ignore]

    # Workers get the module's objects themselves, and so do not run the file again.
    cloudpickle.register_pickle_by_value(module)
    return module


def _module_of_name(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            file = f"{name.replace('.', '/')}.py"
            beside = f" Did you mean {file}?" if Path(file).is_file() else ""
            raise ValueError(
                f"{name}: must be a module that Python finds from this folder, or a file that ends "
                f"in .py. There is no module {error.name!r}.{beside}"
            ) from None
        raise ValueError(f"{name}: cannot be imported. {error}.") from error
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError):
            file = error.filename or ""
        else:
            frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
            file = [place for place in frames if not place.startswith("<frozen importlib")][-1]
        where = _where(error, Path(file))
        raise ValueError(f"{name}: cannot be imported. {file}: {where}") from error


def _where(error: Exception | SystemExit, path: Path) -> str:
    """Return an error and the line of the file at which it happened."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
        error = SyntaxError(error.msg)
    place = f" (line {lines[-1]})" if lines and lines[-1] else ""
    advice = ""
    if isinstance(error, SystemExit):
        advice = " Put what only a script does below if __name__ == '__main__':"
    return f"{type(error).__name__}: {error}{place}.{advice}"


def _candidates(module: ModuleType) -> list[str]:
    """Return the names of problems and functions that the module itself defines."""
    own = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", module.__name__) == module.__name__
    }
    problems = [
        name
        for name, value in vars(module).items()
        if isinstance(value, Problem)
        or (name in own and inspect.isclass(value) and issubclass(value, Problem))
    ]
    return problems + [name for name, value in own.items() if inspect.isfunction(value)]


def _holds(module: ModuleType) -> str:
    return f"It holds {', '.join(_candidates(module)) or 'no function and no Problem'}."


def _attribute(module: ModuleType, place: str, name: str) -> object:
    value: object = module
    for part in name.split("."):
        if not hasattr(value, part):
            suggestion = nearest(part, _candidates(module)).replace("'", "")
            raise ValueError(f"{place}: there is no {name!r}.{suggestion} {_holds(module)}")
        value = getattr(value, part)
    return value


def _kind(value: object) -> str:
    return "an instance" if isinstance(value, Problem) else "a function"


def _values(words: Sequence[str]) -> dict[str, object]:
    """Return the settings of ``name=value``; a value that is no Python literal is a text."""
    values: dict[str, object] = {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator or not name.isidentifier():
            raise ValueError(f"--set must be like fins=12. Got {word!r} instead.")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values


def _made(kind: type[Problem], word: str, settings: Mapping[str, object]) -> Problem:
    """Return an instance of a class of problems."""
    signature = inspect.signature(kind)
    try:
        signature.bind(**settings)
    except TypeError as error:
        unknown = [name for name in settings if name not in signature.parameters]
        suggestion = nearest(unknown[0], signature.parameters) if unknown else ""
        raise ValueError(
            f"{word}: {kind.__name__}{signature} cannot be made with "
            f"{', '.join(f'{k}={v!r}' for k, v in settings.items()) or 'no settings'}: {error}. "
            f"Name its parameters by --set name=value.{suggestion}"
        ) from None
    try:
        return kind(**settings)
    except Exception as error:
        file = Path(inspect.getsourcefile(kind) or "")
        raise ValueError(f"{word}: cannot be made. {_where(error, file)}") from error


def _of_function(function: object, module: ModuleType, place: str, name: str) -> Problem:
    """Return the problem of a function, from the names in its module."""
    given = {key: getattr(module, key) for key in (*NEEDED, *OPTIONAL) if hasattr(module, key)}
    for key in NEEDED:
        if key not in given:
            form = {"variables": "{'height': (0.01, 0.06)}", "objectives": "['mass', 'rise']"}[key]
            names = [other for other in vars(module) if not other.startswith("_")]
            close = nearest(key, [other for other in names if other not in (*NEEDED, *OPTIONAL)])
            raise ValueError(
                f"{place}: beside the function {name}, the file must have {key} = {form}. There is "
                f"no {key!r}.{close} (`moela example function.py` writes an example.)"
            )
    try:
        return make_problem(function, **given)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from None
