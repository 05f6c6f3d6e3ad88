"""A recording stand-in for Blender's UILayout: `draw()` can be tested where there is no window.

Every call is checked against the running Blender's own description (RNA) of UILayout: function and keyword names,
enum items (icons too), operator ids and their properties, and the properties that `prop` and its like show. A wrong one
raises, as it would in a window. What was drawn is kept as a list of `Drawn`, in the order of drawing.
"""

from __future__ import annotations

import inspect
from types import FunctionType, MethodType
from typing import NamedTuple

import bpy

UI_LAYOUT = bpy.types.UILayout.bl_rna
# Arguments that belong together: an owner, and the name of a property that it must have.
SHOWN = (("data", "property"), ("dataptr", "propname"), ("active_dataptr", "active_propname"))
SHOWN += (("search_data", "search_property"),)
# Arguments that name a registered class, by function.
REGISTERED = {"menu": "menu", "popover": "panel", "template_list": "listtype_name"}


class Drawn(NamedTuple):
    """One call, or with `what` "set" one attribute; `path` tells in which rows and boxes it stands: `box.row`."""

    path: str
    what: str
    arguments: dict[str, object]
    operator: OperatorProperties | None = None


def draw(panel: type, context: object = None) -> list[Drawn]:
    """What `panel.draw` draws; raises what a window would raise."""
    drawn: list[Drawn] = []
    panel.draw(_Instance(panel, StrictLayout(drawn)), context or bpy.context)
    return drawn


def texts(drawn: list[Drawn]) -> list[str]:
    """Every text that the calls gave themselves, in order."""
    return [str(entry.arguments["text"]) for entry in drawn if entry.arguments.get("text")]


def operators(drawn: list[Drawn]) -> list[str]:
    """The ids of the operators that have a button, in order."""
    return [str(entry.arguments["operator"]) for entry in drawn if entry.operator is not None]


class _Instance:
    """A panel with its layout; Blender alone can make a real one."""

    def __init__(self, panel: type, layout: StrictLayout) -> None:
        self._panel = panel
        self.layout = layout

    def __getattr__(self, name: str):
        is_method = isinstance(inspect.getattr_static(self._panel, name), FunctionType)
        found = getattr(self._panel, name)
        return MethodType(found, self) if is_method else found


class StrictLayout:
    """One layout; those that its calls return record into the same list."""

    def __init__(self, drawn: list[Drawn], path: str = "") -> None:
        object.__setattr__(self, "_drawn", drawn)
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_values", {})

    def __setattr__(self, name: str, value: object) -> None:
        if name not in UI_LAYOUT.properties:
            raise AttributeError(f"UILayout has no property {name!r} in Blender {bpy.app.version_string}")
        _check_value("UILayout", UI_LAYOUT.properties[name], value)
        self._values[name] = value
        self._drawn.append(Drawn(self._path, "set", {name: value}))

    def __getattr__(self, name: str):
        if name in UI_LAYOUT.properties:
            return self._values.get(name, getattr(UI_LAYOUT.properties[name], "default", None))
        if name in UI_LAYOUT.functions:
            return lambda *args, **keywords: self._call(name, args, keywords)
        raise AttributeError(f"UILayout has no {name!r} in Blender {bpy.app.version_string}")

    def _call(self, name, args, keywords):
        arguments = _bound(name, args, keywords)
        _check_names(name, arguments)
        operator = OperatorProperties(arguments["operator"]) if "operator" in arguments else None
        self._drawn.append(Drawn(self._path, name, arguments, operator))
        given = [self._output(name, parameter, operator) for parameter in _parameters(name, outputs=True)]
        return tuple(given) if len(given) > 1 else next(iter(given), None)

    def _output(self, name, parameter, operator):
        if parameter.type == "POINTER" and parameter.fixed_type.identifier == "OperatorProperties":
            return operator
        return StrictLayout(self._drawn, f"{self._path}.{name}".lstrip("."))


class OperatorProperties:
    """What an operator's button sets; knows only the properties that the operator has."""

    def __init__(self, operator: str) -> None:
        module, _, name = operator.partition(".")
        try:
            described = getattr(getattr(bpy.ops, module), name).get_rna_type()
        except (AttributeError, KeyError):
            raise ValueError(f"there is no operator {operator!r}") from None
        object.__setattr__(self, "_properties", described.properties)
        object.__setattr__(self, "values", {})

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self._properties:
            raise AttributeError(f"the operator has no property {name!r}")
        _check_value("the operator", self._properties[name], value)
        self.values[name] = value


def _parameters(name, outputs):
    return [parameter for parameter in UI_LAYOUT.functions[name].parameters if parameter.is_output == outputs]


def _bound(name, args, keywords):
    """The arguments by name. As in Blender, only those that are required may come without one."""
    parameters = {parameter.identifier: parameter for parameter in _parameters(name, outputs=False)}
    required = [key for key, parameter in parameters.items() if parameter.is_required]
    if len(args) > len(required):
        raise TypeError(f"UILayout.{name}() takes {len(required)} arguments without a name, not {len(args)}")
    arguments = {**dict(zip(required, args, strict=False)), **keywords}
    for key, value in arguments.items():
        if key not in parameters:
            raise TypeError(f"UILayout.{name}() has no keyword {key!r} in Blender {bpy.app.version_string}")
        _check_value(f"UILayout.{name}()", parameters[key], value)
    if missing := [key for key in required if key not in arguments]:
        raise TypeError(f"UILayout.{name}() misses {', '.join(missing)}")
    return arguments


def _check_value(where, described, value):
    """Refuses what Blender itself would refuse."""
    wanted = {"STRING": str, "INT": int, "FLOAT": (int, float), "BOOLEAN": int}.get(described.type)
    values = value if getattr(described, "is_array", False) else (value,)
    if wanted and not all(isinstance(each, wanted) for each in values):
        raise TypeError(f"{where}: {described.identifier} is {value!r}, and is to be a {described.type}")
    if described.type == "ENUM":
        items = set(described.enum_items.keys())  # none where they are made when the enum is drawn
        chosen = set(value) if described.is_enum_flag else {value}
        if items and not chosen <= items:
            raise TypeError(f"{where}: {described.identifier} has no item {value!r}")


def _check_names(name, arguments):
    for data, key in SHOWN:
        owner, shown = arguments.get(data), arguments.get(key)
        if owner is not None and shown is not None and shown not in owner.bl_rna.properties:
            raise ValueError(f"UILayout.{name}(): {owner!r} has no property {shown!r}")
    key = REGISTERED.get(name)
    if key and not hasattr(bpy.types, arguments[key]):
        raise ValueError(f"UILayout.{name}(): no class {arguments[key]!r} is registered")
