"""Checks of arguments: every public function passes what it gets through these, before it computes.

Each check takes the argument's name and value and returns the value in the type that the function computes with. A
wrong value, of whatever type, is a ValueError of one form: "NAME must be WHAT IS ALLOWED; got VALUE." Numbers of NumPy
and of PyTorch count as numbers; True and False do not, and a fraction is never rounded to an integer.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import sys
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NoReturn, TypeVar

# Most frames of a motion, and samples of a period: more would only exhaust memory. It is the limit of the nodes.
MAX_FRAMES = 100_000
# Rates and speeds beyond this or below its inverse are mistakes; within, no product of two of them overflows.
MAX_RATE = 1e6
# Bytes of a file's name that all usual file systems take.
MAX_NAME_BYTES = 255
# Pixels of a side above which a size is taken for a mistake.
MAX_SIDE = 16384

Checked = TypeVar("Checked")


def check_number(
    name: str,
    value: Any,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    *,
    above: float = -math.inf,
    meaning: str = "",
) -> float:
    """The value as a float, if it is a finite number within the limits.

    Args:
        name: the argument, as the caller writes it.
        at_least, at_most, above: the limits; `above` itself is refused.
        meaning: unit or explanation for the message, such as "frames per second".

    Raises:
        ValueError: for anything else.
    """
    number = _as_number(value)
    # Compared before it is converted: an integer can be too large for a float.
    low, high = max(at_least, -sys.float_info.max), min(at_most, sys.float_info.max)
    if number is None or not (low <= number <= high and number > above):
        refuse(name, _range("a number", at_least, at_most, above, meaning), value)
    return float(number)


def check_integer(
    name: str, value: Any, at_least: float = -math.inf, at_most: float = math.inf, *, meaning: str = ""
) -> int:
    """The value as an int, if it is a whole number within the limits; see `check_number`."""
    number = _as_number(value)
    if number is None or number != number or not at_least <= number <= at_most or number % 1 != 0:
        refuse(name, _range("a whole number", at_least, at_most, meaning=meaning), value)
    return int(number)


def check_rate(name: str, value: Any, meaning: str) -> float:
    """The value as a float, if it is a rate or a speed: a number > 0, neither absurdly large nor small."""
    rate = check_number(name, value, above=0, meaning=meaning)
    return check_number(name, rate, 1 / MAX_RATE, MAX_RATE, meaning=meaning)


def check_frame_count(name: str, value: Any, at_least: int = 1) -> int:
    """The value as an int, if so many frames fit into a motion."""
    return check_integer(name, value, at_least, MAX_FRAMES)


def check_size(name: str, value: Any, at_most: int = MAX_SIDE, *, meaning: str = "pixels") -> tuple[int, int]:
    """The value as (height, width), if it is two whole numbers from 1 to `at_most`."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or len(value) != 2:
        refuse(name, "(height, width) in pixels", value)
    height, width = (
        check_integer(side, number, 1, at_most, meaning=meaning)
        for side, number in zip(("height", "width"), value, strict=True)
    )
    return height, width


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """The value, if it is one of the choices."""
    if not (isinstance(value, str) and value in choices):
        refuse(name, f"one of {', '.join(choices)}", value)
    return value


def check_flag(name: str, value: Any) -> bool:
    """The value as a bool, if it is true or false: also NumPy's, and 0 and 1."""
    flag = _item(value)
    if not (isinstance(flag, Integral) and flag in (0, 1)):
        refuse(name, "True or False", value)
    return bool(flag)


def check_instance(name: str, value: Any, types: type[Checked] | tuple[type[Checked], ...], meaning: str) -> Checked:
    """The value, if it is of a type; `meaning` says in words what is wanted and where it comes from."""
    if not isinstance(value, types):
        refuse(name, meaning, value)
    return value


def check_callable(name: str, value: Any) -> Any:
    """The value, if it can be called or is None."""
    if value is not None and not callable(value):
        refuse(name, "a function or None", value)
    return value


def parse_json(name: str, text: Any, example: str) -> Any:
    """What a JSON text holds; the messages show an example.

    Args:
        name: of the argument; in the plural, such as "pokes".
    """
    check_instance(name, text, str, f"JSON text, such as {example}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The {name} are not valid JSON: {error}. Write a list, for example {example}.") from None


def parse_json_objects(name: str, text: Any, keys: Sequence[str], example: str) -> list[dict[str, Any]]:
    """The objects of a JSON list, with no other names than `keys`; an empty text has none.

    Args:
        name: of the argument, in the plural with s, such as "pokes"; messages count from "Poke 1".
    """
    if isinstance(text, str) and not text.strip():
        return []
    items = parse_json(name, text, example)
    if not isinstance(items, list):
        raise ValueError(f"The {name} must be a list, for example {example}; got {type(items).__name__}.")
    for number, item in enumerate(items, 1):
        one = f"{name[:-1].capitalize()} {number}"
        if not isinstance(item, dict):
            raise ValueError(f"{one} must be an object, for example {example[1:-1]}; got {describe(item)}.")
        for key in item:
            if key not in keys:
                raise ValueError(f"{one}: {key!r} is not known; the names are {', '.join(keys)}.")
    return items


def check_instances(name: str, values: Any, types: type[Checked], example: str) -> list[Checked]:
    """The values as a list, if all are of a type, such as `Poke`, whose JSON `parse_pokes` reads."""
    one = types.__name__
    if isinstance(values, str) or not isinstance(values, Iterable) or getattr(values, "shape", None) == ():
        refuse(name, f"a list of {one} (parse_{name} makes one from JSON)", values)
    meaning = f"a {one}, such as {example}"
    return [check_instance(f"{name}[{i}]", value, types, meaning) for i, value in enumerate(values)]


def check_path(name: str, value: Any) -> Path:
    """The value as a Path, if the file system can have a file of this name."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        refuse(name, "a path", value)
    path = Path(value)
    try:
        sizes = [len(os.fsencode(part)) for part in path.parts]
    except UnicodeEncodeError:  # half of a surrogate pair
        sizes = [MAX_NAME_BYTES + 1]
    if "\0" in str(path) or max(sizes, default=0) > MAX_NAME_BYTES or len(str(path)) > 4000:
        refuse(name, "a path that the file system can have", value)
    return path


def refuse(name: str, allowed: str, value: Any) -> NoReturn:
    """Raise the ValueError of all checks."""
    raise ValueError(f"{name} must be {allowed}; got {describe(value)}.")


def describe(value: Any) -> str:
    """A value in a few words, for messages: a number or text itself, a tensor's shape, the type of other objects."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape != ():
        return f"{type(value).__name__} {list(shape)}"
    if isinstance(value, float):
        return str(value)
    if value is None or isinstance(value, (str, bytes, bool, Integral, Real, list, tuple, set, dict)):
        try:
            return reprlib.repr(value)
        except ValueError:  # Python refuses to write an integer of thousands of digits
            return "a huge number"
    return str(value) if shape == () else type(value).__name__


def _item(value: Any) -> Any:
    """The Python value of a 0-dimensional array or tensor; others as they are."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _as_number(value: Any) -> Any:
    """A real number, also of a 0-dimensional array or tensor; None for True, False and all else."""
    number = _item(value)
    return number if isinstance(number, Real) and not isinstance(number, bool) else None


def _range(kind: str, at_least: float, at_most: float, above: float = -math.inf, meaning: str = "") -> str:
    """The allowed values in words."""
    if kind == "a number" and at_most == math.inf and max(at_least, above) == -math.inf:
        kind = "a finite number"
    low = f" > {above:g}" if above > at_least else f" >= {at_least:.9g}" if at_least > -math.inf else ""
    if at_most < math.inf:
        low = f" from {at_least:.9g} to {at_most:.9g}" if at_least > -math.inf else f"{low} <= {at_most:.9g}"
    return kind + low + (f" ({meaning})" if meaning else "")
