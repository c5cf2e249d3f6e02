"""Types as they are written: `32`, `(2 * w)`, `bool`, `Mode`, `Desc`, a parameter that holds a width."""

from __future__ import annotations

from analyzer.source import Span
from analyzer.syntax import ast, expressions
from analyzer.syntax.body import Env
from analyzer.syntax.problems import did_you_mean, failure, reported
from analyzer.syntax.scope import Cell, Entity, EnumEntity, Poison, TypeEntity
from analyzer.syntax.value_types import BOOL, WIDEST, Bits, Type
from analyzer.syntax.values import Number, Value


def type_of(node: ast.Type, env: Env) -> Type:
    """The type that is written here."""
    if isinstance(node, ast.WidthType):
        return bits(expressions.number(node.width, env, "a width"), node.span)
    if node.args:
        raise failure("PG203", f"{node.name.text}(…) is no type here", node.span)
    return named(node.name, env)


def named(name: ast.Name, env: Env) -> Type:
    """The type that a name stands for; a number is a width."""
    entity = env.scope.find(name.text)
    type_ = conversion(entity)
    if type_ is not None:
        return type_
    match entity:
        case Number(value, _):
            return bits(value, name.span)
        case Value() | Cell():
            return bits(expressions.number(name, env, "a width"), name.span)
        case Poison():
            raise reported()
        case None if name.text == "bool":
            return BOOL
        case _:
            known = {n for n in env.scope.known() if isinstance(env.scope.find(n), EnumEntity | TypeEntity)}
            raise failure("PG203", f"{name.text} is no type", name.span, did_you_mean(name.text, known | {"bool"}))


def bits(width: int, span: Span) -> Bits:
    """A bit vector of a width that makes sense."""
    if not 0 < width <= WIDEST:
        raise failure("PG204", f"a width is 1 to {WIDEST}, not {width}", span)
    return Bits(width)


def conversion(entity: Entity | None) -> Type | None:
    """The type that `Name(e)` converts to, if it is one."""
    return entity.type if isinstance(entity, EnumEntity | TypeEntity) else None


def is_type(name: ast.Name, env: Env) -> bool:
    """Whether a name means a type or a width here."""
    entity = env.scope.find(name.text)
    return name.text == "bool" or isinstance(entity, EnumEntity | TypeEntity | Number | Value | Cell)
