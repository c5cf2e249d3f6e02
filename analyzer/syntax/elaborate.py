"""From syntax trees to the IR: the pipeline of the front end.

Everything that is wrong is gathered and raised at the end, so one run shows one diagnostic for each broken statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from analyzer import ir
from analyzer.errors import Diagnostic
from analyzer.syntax import (
    ast,
    encodings,
    expressions,
    families,
    instructions,
    places,
    schemes,
    state,
    statements,
    traps,
    typenames,
    views,
)
from analyzer.syntax.coerce import literal, raw, to_type
from analyzer.syntax.families import Piece
from analyzer.syntax.machine import BeforeItem, InstrItem, Machine, TrapDecl
from analyzer.syntax.problems import Problems, did_you_mean, failure
from analyzer.syntax.prune import prune
from analyzer.syntax.scope import (
    BaseEntity,
    Body,
    Entity,
    Env,
    FnEntity,
    FormatEntity,
    OperandEntity,
    PrefixEntity,
    Scope,
    Space,
    SpaceEntity,
    SymbolEntity,
    TrapEntity,
    UnspecifiedEntity,
    ViewEntity,
)
from analyzer.syntax.value_types import Bits, width_of
from analyzer.syntax.values import ElementPlace, Place, RetypedPlace, Value, ValuePlace, ViewPlace
from analyzer.syntax.wellformed import wellformed

WORDS = ("unknown", "here", "access", "bits", "width", "length", "true", "false", "fetch", "read", "write")
"""Names that have a meaning unless the spec gives them another."""


def elaborate(file: ast.File, load: Callable[[str], ast.File]) -> ir.Isa:
    """The instruction set that a spec describes.

    `load` finds what it extends and imports.

    Raises:
        SpecError: the spec does not check; with a diagnostic for each thing that is wrong, in source order.
    """
    return elaborate_with_warnings(file, load)[0]


def elaborate_with_warnings(file: ast.File, load: Callable[[str], ast.File]) -> tuple[ir.Isa, tuple[Diagnostic, ...]]:
    """As `elaborate`, with the warnings about a spec that checks."""
    machine = Machine(expand=instructions.expand, call_base=instructions.call_base)
    files = [file]
    while files[0].header.base is not None:
        files.insert(0, load(files[0].header.base.text))
    names = tuple(dict.fromkeys(f.header.span.file for f in files))
    for word in WORDS:
        machine.globals.names["value", word] = SymbolEntity(word)
    pieces = families.expand(files, machine, load)
    sections = Sections(pieces, machine)
    for step in STEPS:
        step(sections)
    machine.problems.raise_if_any(names)
    isa = assemble(file, sections, names)
    wellformed(isa, machine, pieces)
    machine.problems.raise_if_any(names)
    return isa, tuple(machine.problems.found)


class Sections:
    """The pieces of a spec by kind, and what becomes of those that stand alone."""

    def __init__(self, pieces: list[Piece], machine: Machine) -> None:
        self.pieces = pieces
        self.machine = machine
        self.mode: ir.ModeOrder | None = None
        self.deliver: ir.Procedure | None = None
        self.fetch: ir.Fetch | None = None
        self.interrupts: list[ir.Interrupt] = []
        self.invariants: list[ir.Invariant] = []
        self.schemes: list[ir.Scheme] = []
        self.instructions: list[ir.Instruction] = []
        self.items: dict[int, Piece] = {}

    def of(self, *kinds: type) -> list[Piece]:
        """The pieces of some kinds, in order."""
        return [piece for piece in self.pieces if isinstance(piece.node, kinds)]

    def last(self, kind: type) -> Piece | None:
        """The piece that counts where only one can: that of the file that extends the others.

        Reports a second one in the same file.
        """
        found = self.of(kind)
        for first, second in pairwise(found):
            if first.rank == second.rank and not second.override and first.row == second.row == ():
                self.machine.problems.report(
                    "PG205", "this is stated already", second.node.span, f"first at {first.node.span}"
                )
        return found[-1] if found else None


# -- declarations ------------------------------------------------------------------------------------------------------


def unit(sections: Sections) -> None:
    """`unit 8 little`."""
    piece = sections.last(ast.Unit)
    machine = sections.machine
    if piece is None or not isinstance(piece.node, ast.Unit):
        return
    machine.unit = literal(piece.node.bits).value
    for word in piece.node.words:
        match word.text:
            case "little" | "big":
                machine.endian = "little" if word.text == "little" else "big"
            case "msb0":
                machine.msb0 = True
            case _:
                hint = did_you_mean(word.text, ["little", "big", "msb0"])
                machine.problems.report("PG245", f"{word.text} says nothing about units", word.span, hint)


def types(sections: Sections) -> None:
    """Enumerations, then types and lookup tables, which may use them."""
    machine = sections.machine
    for piece in sections.of(ast.Enum):
        with machine.problems.catch():
            assert isinstance(piece.node, ast.Enum)
            state.enum(piece.node, piece.scope, machine)
    for piece in sections.of(ast.TypeDecl, ast.Choice):
        with machine.problems.catch():
            if isinstance(piece.node, ast.TypeDecl):
                state.type_decl(piece.node, piece.scope, machine)
            elif isinstance(piece.node, ast.Choice):
                state.choice(piece.node, piece.scope, machine)


def storage(sections: Sections) -> None:
    """Registers and memories."""
    machine = sections.machine
    for piece in sections.of(ast.State, ast.Memory, ast.Lookup):
        with machine.problems.catch():
            match piece.node:
                case ast.State():
                    state.declare(piece.node, piece.scope, machine)
                case ast.Memory():
                    state.memory(piece.node, piece.scope, machine)
                case ast.Lookup():
                    state.lookup(piece.node, piece.scope, machine)
                case _:
                    pass


def named(sections: Sections) -> None:
    """Traps, views, functions, operands, formats, maps: their names, with what they override."""
    machine = sections.machine
    for piece in sections.pieces:
        with machine.problems.catch():
            _declare(piece, machine)
    for decl in machine.trap_names.values():
        with machine.problems.catch():
            traps.parameters(decl, machine)


def _declare(piece: Piece, machine: Machine) -> None:
    node, scope = piece.node, piece.scope
    match node:
        case ast.Trap():
            _declare_trap(node, piece, machine)
        case ast.View():
            old = _overridden(piece, node.name, ViewEntity, machine)
            _put(node.name, ViewEntity(node, _with_base(scope, old), old), piece, machine)
        case ast.Fn():
            fn = _overridden(piece, node.name, FnEntity, machine)
            _put(node.name, FnEntity(node, scope, fn), piece, machine)
        case ast.Unspecified():
            _put(node.name, UnspecifiedEntity(node, scope), piece, machine)
        case ast.Map():
            _overridden(piece, node.name, SpaceEntity, machine)
            _put(node.name, _map_entity(node, scope, machine), piece, machine)
        case ast.Format():
            _declare_in("format", node.name, FormatEntity(node, scope), piece, machine)
        case ast.Operand():
            prefix = any(isinstance(s, ast.PlainStyle) and s.word.text == "prefix" for s in node.styles)
            for name in node.names:
                if prefix:
                    _prefix(name, node, piece, machine)
                else:
                    _declare_in("operand", name, OperandEntity(node, scope), piece, machine)
        case _:
            pass


def _with_base(scope: Scope, old: Entity | None) -> Scope:
    return scope if old is None else scope.child({"base": BaseEntity(old)})


T = TypeVar("T")


def _overridden(piece: Piece, name: ast.Name, kind: type[T], machine: Machine) -> T | None:
    """What an `override` replaces."""
    if not piece.override:
        return None
    old = piece.scope.find(name.text)
    if not isinstance(old, kind):
        raise failure(
            "PG246",
            f"there is no inherited {name.text} to override",
            name.span,
            did_you_mean(name.text, piece.scope.known()),
        )
    return old


def _put(name: ast.Name, entity: Entity, piece: Piece, machine: Machine) -> None:
    if piece.override:
        piece.scope.names["value", name.text] = entity
    else:
        state.add(name, entity, piece.scope, machine)


def _declare_in(
    space: Space, name: ast.Name, entity: OperandEntity | FormatEntity, piece: Piece, machine: Machine
) -> None:
    key: tuple[Space, str] = (space, name.text)
    old = piece.scope.names.get(key)
    if piece.override and old is None:
        raise failure("PG246", f"there is no inherited {space} {name.text} to override", name.span)
    if not piece.override and old is not None:
        raise failure("PG205", f"{space} {name.text} is declared already", name.span)
    piece.scope.names[key] = entity


def _declare_trap(node: ast.Trap, piece: Piece, machine: Machine) -> None:
    old = machine.trap_names.get(node.name.text)
    if not piece.override:
        traps.declare(node, piece.scope, machine)
        return
    if old is None:
        raise failure("PG246", f"there is no inherited trap {node.name.text} to override", node.name.span)
    machine.trap_names[node.name.text] = TrapDecl(node, old.number, piece.scope)


def _map_entity(node: ast.Map, scope: Scope, machine: Machine) -> SpaceEntity:
    env = state.pure(machine, scope)
    params = []
    for param in node.params:
        if param.type is None:
            raise failure("PG208", f"{param.name.text} needs a width", param.span)
        params.append((param.name.text, typenames.type_of(param.type, env), param.default))
    # the unit is that of the space below, which may be declared later
    return SpaceEntity(node.name.text, state.index_type(node.index, env), 0, tuple(params), "map", node.space.text)


def _prefix(name: ast.Name, node: ast.Operand, piece: Piece, machine: Machine) -> None:
    """`operand p : 1 prefix { | 0x66 => 1 }`."""
    env = state.pure(machine, piece.scope)
    if node.type is None:
        raise failure("PG208", f"{name.text} needs a width", name.span)
    type_ = Bits(width_of(typenames.type_of(node.type, env)))
    default = 0 if node.default is None else state.constant(node.default, type_, env)
    values: list[tuple[int, int]] = []
    for arm in node.arms:
        laid = encodings.lay(encodings.expand(arm.pattern, env).groups[0])
        if laid.mask != (1 << laid.width) - 1:
            raise failure("PG258", "a prefix is a constant", arm.pattern.span)
        if isinstance(arm.body, ast.Block):
            raise failure("PG258", "a prefix has a constant value: `=> value`", arm.body.span)
        values.append((laid.value, state.constant(arm.body, type_, env)))
    machine.prefixes[name.text] = ir.Prefix(name.text, type_.width, default, tuple(values))
    state.add(name, PrefixEntity(name.text, node), piece.scope, machine)


# -- maps, fetch, mode -------------------------------------------------------------------------------------------------


def units(sections: Sections) -> None:
    """The units of maps, from the memory at the bottom up."""
    machine = sections.machine
    waiting = [p for p in sections.of(ast.Map) if isinstance(p.node, ast.Map)]
    while waiting:
        rest = [p for p in waiting if not _unit_of(p, machine)]
        if len(rest) == len(waiting):
            for piece in rest:
                assert isinstance(piece.node, ast.Map)
                space = piece.node.space
                known = {n for n in piece.scope.known() if isinstance(piece.scope.find(n), SpaceEntity | ViewEntity)}
                message = f"there is no memory {space.text}, or it stands on this map itself"
                machine.problems.report("PG201", message, space.span, did_you_mean(space.text, known))
                piece.scope.names.pop(("value", piece.node.name.text), None)
            return
        waiting = rest


def _unit_of(piece: Piece, machine: Machine) -> bool:
    node = piece.node
    assert isinstance(node, ast.Map)
    entity = piece.scope.find(node.name.text)
    below = piece.scope.find(node.space.text)
    unit_ = 0
    match below:
        case SpaceEntity(unit=known):
            unit_ = known
        case ViewEntity() if below.node.params:
            with machine.problems.catch():
                unit_ = width_of(typenames.type_of(below.node.type, state.pure(machine, below.scope)))
        case _:
            pass
    if not unit_ or not isinstance(entity, SpaceEntity):
        return not isinstance(entity, SpaceEntity)
    piece.scope.names["value", node.name.text] = SpaceEntity(
        entity.name, entity.index, unit_, entity.params, entity.kind, entity.below
    )
    return True


def counter(sections: Sections) -> None:
    """The program counter, from `fetch`: bodies need it."""
    machine = sections.machine
    piece = sections.last(ast.Fetch)
    if piece is None or not isinstance(piece.node, ast.Fetch):
        machine.problems.report("PG310", "this spec has no `fetch`", None, "write `fetch 8 from mem at pc`")
        return
    with machine.problems.catch():
        env = state.pure(machine, piece.scope)
        machine.parcel = width_of(typenames.type_of(piece.node.parcel, env))
        element = _element(places.place(piece.node.pc, env))
        if element is None:
            raise failure("PG311", "the program counter must be a register, or one field", piece.node.pc.span)
        machine.pc, machine.pc_width = element.element, width_of(element.type)
        if machine.parcel % machine.unit:
            raise failure(
                "PG303", f"a parcel has {machine.parcel} bits, no multiple of the unit", piece.node.parcel.span
            )


def _element(place: Place) -> ElementPlace | None:
    match place:
        case ElementPlace():
            return place
        case RetypedPlace(base):
            return _element(base)
        case _:
            return None


def mode(sections: Sections) -> None:
    """`mode = … order …`."""
    machine = sections.machine
    piece = sections.last(ast.Mode)
    if piece is None or not isinstance(piece.node, ast.Mode):
        machine.problems.report("PG310", "this spec has no `mode = …`", None, "write `mode = M order s > u`")
        return
    machine.mode, machine.mode_scope = piece.node, piece.scope
    with machine.problems.catch():
        sections.mode = schemes.mode_order(piece.node, piece.scope, machine)


def advance(sections: Sections) -> None:
    """`advance { … }`."""
    piece = sections.last(ast.Advance)
    if piece is not None and isinstance(piece.node, ast.Advance):
        sections.machine.advance = piece.node


def maps(sections: Sections) -> None:
    """The bodies of maps, and sizes of memories."""
    machine = sections.machine
    for piece in sections.of(ast.Memory):
        with machine.problems.catch():
            assert isinstance(piece.node, ast.Memory)
            state.finish_memory(piece.node, piece.scope, machine)
    final = {p.node.name.text: p for p in sections.of(ast.Map) if isinstance(p.node, ast.Map)}
    for piece in final.values():
        with machine.problems.catch():
            assert isinstance(piece.node, ast.Map)
            _map(piece.node, piece.scope, machine)


def _map(node: ast.Map, scope: Scope, machine: Machine) -> None:
    entity = scope.find(node.name.text)
    if not isinstance(entity, SpaceEntity):
        return
    body = Body("map", pc=machine.pc, span=node.span, access=ir.Local("access", 2))
    env = Env(machine, body, scope.child())
    below = views.find_space(node.space, env)
    body.returns = below.index
    body.used = {"access", "bits", node.index.name.text, *(n for n, _, _ in entity.params)}
    env.scope.names["value", node.index.name.text] = Value(
        ir.Local(node.index.name.text, entity.index.width), entity.index
    )
    for name, type_, _ in entity.params:
        local = ValuePlace(Value(ir.Local(name, width_of(type_)), Bits(width_of(type_))))
        env.scope.names["value", name] = places.read(RetypedPlace(local, type_), env, node.span)
    before = machine.problems.count
    statements.block(node.body, env)
    if not statements.ends(body.out) and machine.problems.count == before:
        machine.problems.report(
            "PG302",
            f"map {node.name.text} can end without an address",
            node.name.span,
            "end it with `return` or `trap`",
        )
    params = []
    for (name, type_, default), param in zip(entity.params, node.params, strict=True):
        expr: ir.Expr | None = None
        if default is not None:
            pure = state.pure(machine, scope)
            pure.body.access = ir.Local("access", 2)
            pure.body.here = ir.Local("here", machine.pc_width or 1)
            pure.body.span = param.span
            expr = raw(to_type(expressions.value(default, pure, type_), type_, default.span))
        params.append(ir.MapParam(name, width_of(type_), expr))
    machine.spaces[node.name.text] = ir.Map(
        node.name.text,
        node.index.name.text,
        entity.index.width,
        entity.unit,
        tuple(params),
        below.name,
        prune(tuple(body.out)),
        node.name.span,
    )


def fetch(sections: Sections) -> None:
    """`fetch 8 from mem at pc limit 15 else trap gp(0)`."""
    machine = sections.machine
    piece = sections.last(ast.Fetch)
    if piece is None or machine.pc is None or not isinstance(piece.node, ast.Fetch):
        return
    node = piece.node
    with machine.problems.catch():
        env = state.pure(machine, piece.scope)
        env.body.span = node.span
        env.body.here = ir.Get(machine.pc, machine.pc_width)
        space = views.find_space(node.space, env)
        if space.index.width != machine.pc_width:
            raise failure(
                "PG210",
                f"{space.name} has addresses of {space.index.width} bits, and the program counter {machine.pc_width}",
                node.pc.span,
            )
        positional = [a.value for a in node.args if a.name is None]
        by_name = {a.name.text: a.value for a in node.args if a.name is not None}
        args = places.space_args(space, positional, by_name, env, node.span)
        filled = tuple(
            views.default_arg(space, i, "fetch", env, node.span) if arg is None else arg for i, arg in enumerate(args)
        )
        limit = None if node.limit is None else expressions.number(node.limit, env, "the limit of an instruction")
        beyond = traps.leave(node.beyond, env) if node.beyond is not None else None
        assert beyond is None or isinstance(beyond, ir.Trap)
        given = tuple(arg is not None for arg in args)
        sections.fetch = ir.Fetch(machine.parcel, space.name, filled, given, machine.pc, limit, beyond)


# -- traps -------------------------------------------------------------------------------------------------------------


def deliver(sections: Sections) -> None:
    """The delivery procedure, and the attributes that it reads.  Where only the delivery says how wide an attribute
    is, it is elaborated twice."""
    machine = sections.machine
    with machine.problems.catch():
        traps.find_attributes(machine)
    if any(type_ is None for type_ in machine.attributes.values()):
        _learn(sections)
    traps.settle_attributes(machine)
    body = _deliver_body(sections)
    traps.finish(machine)
    if body is not None:
        params = [("t", traps.TRAP_WIDTH)]
        params += [(f"t.{name}", width_of(t)) for name, t in machine.attributes.items() if t is not None]
        sections.deliver = ir.Procedure("deliver", tuple(params), None, prune(tuple(body.out)), body.span)


def _learn(sections: Sections) -> None:
    machine = sections.machine
    problems, machine.problems = machine.problems, Problems()
    procedures, instances, buses, spaces = (
        dict(machine.procedures),
        dict(machine.instances),
        dict(machine.buses),
        dict(machine.spaces),
    )
    for _ in range(3):
        before = dict(machine.learned)
        _deliver_body(sections)
        for name, width in machine.learned.items():
            if machine.attributes.get(name) is None:
                machine.attributes[name] = Bits(width)
        if machine.learned == before:
            break
    machine.problems = problems
    machine.procedures, machine.instances, machine.buses, machine.spaces = procedures, instances, buses, spaces


def _deliver_body(sections: Sections) -> Body | None:
    machine = sections.machine
    pieces = [p for p in sections.of(ast.Deliver) if isinstance(p.node, ast.Deliver)]
    if not pieces:
        return None
    piece = sections.last(ast.Deliver)
    assert piece is not None
    assert isinstance(piece.node, ast.Deliver)
    body = Body("deliver", pc=machine.pc, span=piece.node.span)
    body.used = {"t", *(f"t.{name}" for name in machine.attributes)}
    names: dict[str, Entity] = {piece.node.param.text: TrapEntity()}
    if piece.override:
        if len(pieces) < 2:
            machine.problems.report("PG246", "there is no inherited delivery to override", piece.node.span)
        else:
            names["base"] = BaseEntity(pieces[-2].node)
    statements.block(piece.node.body, Env(machine, body, piece.scope.child(names)))
    return body


def interrupts(sections: Sections) -> None:
    """`interrupt t when e`, and machine invariants."""
    machine = sections.machine
    for piece in sections.of(ast.Interrupt, ast.Invariant):
        node = piece.node
        with machine.problems.catch():
            env = state.pure(machine, piece.scope)
            env.body.span = node.span
            match node:
                case ast.Interrupt():
                    stmt = traps.raise_(node.trap, node.args, env, node.span)
                    cond = expressions.condition(node.cond, env)
                    sections.interrupts.append(ir.Interrupt(stmt.trap, stmt.args, cond))
                case ast.Invariant():
                    sections.invariants.append(schemes.invariant(node, piece.scope, machine))
                case _:
                    pass


# -- instructions ------------------------------------------------------------------------------------------------------


def collect(sections: Sections) -> None:
    """All instructions under their names, with what is removed and overridden done, and the `before` lists."""
    machine = sections.machine
    rows: dict[int, tuple[str, ...]] = {}
    for piece in sections.pieces:
        match piece.node:
            case ast.Instr():
                item = InstrItem(piece.node, piece.scope, "", "")
                rows[id(item)] = piece.row
                sections.items[id(item)] = piece
                if piece.override:
                    _override(item, sections)
                machine.instrs.append(item)
            case ast.Remove(names=names):
                instructions.name_all(_quiet(machine), rows)
                for name in names:
                    with machine.problems.catch():
                        gone = {id(i) for i in instructions.named(name, machine)}
                        machine.instrs = [i for i in machine.instrs if id(i) not in gone]
            case ast.Before():
                machine.befores.append(BeforeItem(piece.node, piece.scope, piece.rank))
            case _:
                pass
    instructions.name_all(machine, rows)
    for before in machine.befores:
        for name in before.node.names:
            with machine.problems.catch():
                instructions.named(name, machine)


def _quiet(machine: Machine) -> Machine:
    """A view of the instructions so far whose names are not reported."""
    quiet = Machine()
    quiet.instrs = machine.instrs
    return quiet


def _override(item: InstrItem, sections: Sections) -> None:
    """Removes what an overriding instruction replaces; an unnamed one replaces the one with its first word."""
    machine = sections.machine
    node = item.node
    item.word = instructions.first_word(node, item.scope)
    family = node.name.text if node.name is not None else item.word
    row = sections.items[id(item)].row
    found = [
        old
        for old in machine.instrs
        if (old.node.name.text if old.node.name is not None else instructions.first_word(old.node, old.scope)) == family
        and sections.items[id(old)].rank < sections.items[id(item)].rank
        and (not row or sections.items[id(old)].row == row or node.name is None)
    ]
    if not found:
        known = {instructions.first_word(i.node, i.scope) for i in machine.instrs}
        machine.problems.report(
            "PG246", f"there is no inherited instruction {family} to override", node.span, did_you_mean(family, known)
        )
        return
    item.overridden = found[0]
    machine.instrs = [i for i in machine.instrs if i not in found]


def bodies(sections: Sections) -> None:
    """The instructions of the IR."""
    machine = sections.machine
    if machine.pc is None:
        return
    for item in machine.instrs:
        _clauses(item, sections)
    _named_expects(sections)
    for item in machine.instrs:
        with machine.problems.catch():
            sections.instructions.append(instructions.elaborate(item, machine))


def _clauses(item: InstrItem, sections: Sections) -> None:
    """`source`, `expect` and `example` about one instruction."""
    for clause in sections.items[id(item)].clauses:
        with sections.machine.problems.catch():
            match clause:
                case ast.Cite(text=text):
                    item.source = text.text
                case ast.Expect(scheme=scheme):
                    name = scheme.text if scheme is not None else None
                    item.expects.append(schemes.expect(clause, schemes.WORDS, name))
                case ast.Example():
                    item.examples.append(clause)


def _named_expects(sections: Sections) -> None:
    """`expect … : names`; what an extending spec expects of an instruction replaces what it inherits."""
    machine = sections.machine
    ranks = {id(item): sections.items[id(item)].rank for item in machine.instrs}
    for piece in sections.of(ast.Expect):
        node = piece.node
        assert isinstance(node, ast.Expect)
        if not node.names:
            machine.problems.report(
                "PG274", "this `expect` is about no item", node.span, "put it after an instruction, or name some"
            )
            continue
        with machine.problems.catch():
            made = schemes.expect(node, schemes.WORDS, node.scheme.text if node.scheme is not None else None)
            for name in node.names:
                for item in instructions.named(name, machine):
                    if piece.rank > ranks[id(item)]:
                        item.expects = [e for e in item.expects if e.scheme != made.scheme]
                        ranks[id(item)] = piece.rank
                    item.expects.append(made)


def examples(sections: Sections) -> None:
    """The examples of all instructions, in the order of the source."""
    machine = sections.machine
    by_name = {i.name: k for k, i in enumerate(sections.instructions)}
    rows: dict[int, list[InstrItem]] = {}
    for item in machine.instrs:
        rows.setdefault(id(item.node), []).append(item)
    for item in machine.instrs:
        made = []
        for node in _own_examples(item, rows[id(item.node)]):
            with machine.problems.catch():
                made.append(schemes.example(node, item.scope, machine))
        if made and item.name in by_name:
            k = by_name[item.name]
            sections.instructions[k] = replace(sections.instructions[k], examples=tuple(made))
    for piece in sections.of(ast.Example):
        machine.problems.report("PG274", "this example is about no instruction", piece.node.span, "put it after one")


def _own_examples(item: InstrItem, rows: list[InstrItem]) -> list[ast.Example]:
    """Those of a family go to the row whose first word they begin with; to the first row if to none."""
    chosen = []
    for node in item.examples:
        word = (node.asm.text.split() or [""])[0]
        owner = next((r for r in rows if r.word == word), None)
        if owner is None:
            owner = next((r for r in rows if word.startswith(r.word)), rows[0])
        if owner is item:
            chosen.append(node)
    return chosen


def all_schemes(sections: Sections) -> None:
    """Schemes, those of one name together."""
    machine = sections.machine
    if machine.mode is None or sections.mode is None:
        return
    by_name: dict[str, list[Piece]] = {}
    for piece in sections.of(ast.Scheme):
        assert isinstance(piece.node, ast.Scheme)
        by_name.setdefault(piece.node.name.text, []).append(piece)
    for pieces in by_name.values():
        nodes = [p.node for p in pieces if isinstance(p.node, ast.Scheme)]
        with machine.problems.catch():
            sections.schemes.append(schemes.scheme(nodes, pieces[0].scope, machine))


def unused_functions(sections: Sections) -> None:
    """Functions that nothing calls are checked, too, unless they have compile-time parameters."""
    machine = sections.machine
    called = {key[0] for key in machine.instances}
    kept = dict(machine.procedures)
    for piece in sections.of(ast.Fn):
        node = piece.node
        assert isinstance(node, ast.Fn)
        entity = piece.scope.find(node.name.text)
        if not isinstance(entity, FnEntity) or entity in called or entity.node is not node:
            continue
        if any(p.type is None for p in node.params):
            continue
        with machine.problems.catch():
            _check_function(entity, machine)
    machine.procedures = kept


def unused_views(sections: Sections) -> None:
    """Views are read once on their own, so that one that nothing uses is checked, too."""
    machine = sections.machine
    kept = dict(machine.procedures)
    for piece in sections.of(ast.View):
        node = piece.node
        assert isinstance(node, ast.View)
        if node.widths:
            continue
        with machine.problems.catch():
            _check_view(node, piece.scope, machine)
    machine.procedures = kept


def _check_view(node: ast.View, scope: Scope, machine: Machine) -> None:
    env = state.pure(machine, scope)
    body = Body("instruction", pc=machine.pc, here=ir.Local("here", machine.pc_width or 1), span=node.span)
    home = Env(machine, body, scope.child())
    for param in node.params:
        if param.type is None:
            raise failure("PG208", f"{param.name.text} needs a width", param.span)
        type_ = typenames.type_of(param.type, env)
        local = ValuePlace(Value(ir.Local(param.name.text, width_of(type_)), Bits(width_of(type_))))
        home.scope.names["value", param.name.text] = places.read(RetypedPlace(local, type_), home, param.span)
    entity = scope.find(node.name.text)
    readable = not isinstance(node.body, ast.Computed) or any(
        isinstance(p, ast.Read | ast.Place) for p in node.body.parts
    )
    if isinstance(entity, ViewEntity) and entity.node is node and readable:
        views.read(ViewPlace(entity, home, typenames.type_of(node.type, home)), home, node.name.span)


def _check_function(entity: FnEntity, machine: Machine) -> None:
    node = entity.node
    env = state.pure(machine, entity.scope)
    body = Body("instruction", pc=machine.pc, here=ir.Local("here", machine.pc_width or 1), span=node.span)
    home = Env(machine, body, entity.scope.child())
    for param in node.params:
        assert param.type is not None
        if isinstance(param.type, ast.NamedType) and not typenames.is_type(param.type.name, env):
            return
        type_ = typenames.type_of(param.type, env)
        local = ValuePlace(Value(ir.Local(param.name.text, width_of(type_)), Bits(width_of(type_))))
        home.scope.names["value", param.name.text] = places.read(RetypedPlace(local, type_), home, param.span)
    result = None if node.result is None else typenames.type_of(node.result, home)
    body.kind, body.returns = "procedure", result
    before = machine.problems.count
    if isinstance(node.body, ast.Block):
        statements.block(node.body, home)
        if result is not None and not statements.ends(body.out) and machine.problems.count == before:
            machine.problems.report("PG302", f"{node.name.text} can end without `return`", node.name.span)
    else:
        val = expressions.value(node.body, home, result)
        if result is not None:
            to_type(val, result, node.body.span)


STEPS: Sequence[Callable[[Sections], None]] = (
    unit,
    types,
    storage,
    named,
    units,
    counter,
    mode,
    advance,
    maps,
    fetch,
    collect,
    deliver,
    interrupts,
    bodies,
    examples,
    all_schemes,
    unused_functions,
    unused_views,
)


def assemble(file: ast.File, sections: Sections, names: tuple[str, ...]) -> ir.Isa:
    """The whole IR."""
    machine = sections.machine
    assert sections.mode is not None
    assert sections.fetch is not None
    cites = [p.node.text.text for p in sections.of(ast.Cite) if isinstance(p.node, ast.Cite)]
    return ir.Isa(
        file.header.name.text,
        file.header.title.text if file.header.title is not None else None,
        cites[-1] if cites else None,
        machine.unit,
        machine.endian,
        machine.enums,
        machine.elements,
        machine.files,
        machine.registers,
        machine.choices,
        machine.spaces,
        machine.tables,
        machine.procedures,
        sections.mode,
        machine.traps,
        sections.deliver,
        tuple(sections.interrupts),
        sections.fetch,
        tuple(machine.prefixes.values()),
        tuple(sections.instructions),
        tuple(sections.invariants),
        tuple(sections.schemes),
        names,
    )
