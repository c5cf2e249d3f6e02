"""The instructions of a spec: which there are, and what clauses say of them."""

from __future__ import annotations

from msgspec.structs import replace

from analyzer import ir
from analyzer.syntax import ast, instructions, names, schemes
from analyzer.syntax.machine import BeforeItem, InstrItem, Machine, Piece
from analyzer.syntax.problems import did_you_mean, failure
from analyzer.syntax.sections import Sections


def collect(sections: Sections) -> None:
    """All instructions under their names, with what is removed and overridden done, and the `before` lists."""
    machine = sections.machine
    befores: list[BeforeItem] = []
    for piece in sections.pieces:
        match piece.node:
            case ast.Instr():
                _add(piece.node, piece, machine)
            case ast.Remove():
                _remove(piece.node, machine)
            case ast.Before():
                befores.append(BeforeItem(piece.node, piece.scope, piece.rank))
            case _:
                pass
    machine.directory = names.directory(machine.instrs)
    names.check_unique(machine)
    for before in sorted(befores, key=lambda b: -b.rank):
        _put_before(before, machine)


def _add(node: ast.Instr, piece: Piece, machine: Machine) -> None:
    item = InstrItem(node, piece, names.first_word(node, piece.scope))
    machine.declared[id(piece)] = item
    if piece.override:
        _override(item, machine)
    machine.instrs.append(item)


def _override(item: InstrItem, machine: Machine) -> None:
    """Removes what an overriding instruction replaces; an unnamed one replaces the one with its first word."""
    family = names.family(item)
    found = [
        old
        for old in machine.instrs
        if names.family(old) == family
        and old.rank < item.rank
        and (not item.row or old.row == item.row or item.node.name is None)
    ]
    if not found:
        hint = did_you_mean(family, {names.family(i) for i in machine.instrs})
        message = f"there is no inherited instruction {family} to override"
        machine.problems.report("PG246", message, item.node.span, hint)
        return
    item.overridden = found[0]
    machine.instrs = [i for i in machine.instrs if i not in found]


def _remove(node: ast.Remove, machine: Machine) -> None:
    directory = names.directory(machine.instrs)
    for name in node.names:
        with machine.problems.catch(name.span):
            gone = names.named(name, directory)
            machine.instrs = [item for item in machine.instrs if item not in gone]


def _put_before(before: BeforeItem, machine: Machine) -> None:
    """Puts a `before` block into the instructions that it names, once in each."""
    for name in before.node.names:
        with machine.problems.catch(name.span):
            for item in names.named(name, machine.directory):
                if before not in item.befores:
                    item.befores.append(before)


# -- bodies and clauses ------------------------------------------------------------------------------------------------


def bodies(sections: Sections) -> None:
    """The instructions of the IR."""
    machine = sections.machine
    if machine.pc is None:
        return
    for item in machine.instrs:
        _clauses(item, machine)
    _named_expects(sections)
    for item in machine.instrs:
        with machine.problems.catch(item.node.span):
            sections.instructions.append(instructions.elaborate(item, machine))


def _clauses(item: InstrItem, machine: Machine) -> None:
    """`source` and `expect` about one instruction."""
    for clause in item.piece.clauses:
        with machine.problems.catch(clause.span):
            match clause:
                case ast.Cite(text=text):
                    item.source = text.text
                case ast.Expect():
                    item.expects.append(_expect(clause))


def _expect(node: ast.Expect) -> ir.Expect:
    return schemes.expect(node, schemes.WORDS, node.scheme.text if node.scheme is not None else None)


def _named_expects(sections: Sections) -> None:
    """`expect … : names`; what an extending spec expects of an instruction replaces what it inherits."""
    machine = sections.machine
    ranks = {id(item): item.rank for item in machine.instrs}
    for node, piece in sections.of(ast.Expect):
        if not node.names:
            hint = "put it after an instruction, or name some"
            machine.problems.report("PG274", "this `expect` is about no instruction", node.span, hint)
            continue
        with machine.problems.catch(node.span):
            made = _expect(node)
            for name in node.names:
                for item in names.named(name, machine.directory):
                    if piece.rank > ranks[id(item)]:
                        item.expects = [e for e in item.expects if e.scheme != made.scheme]
                        ranks[id(item)] = piece.rank
                    item.expects.append(made)


def examples(sections: Sections) -> None:
    """The examples of all instructions, in the order of the source; what an extending spec shows of the same text from
    the same state replaces what it inherits."""
    machine = sections.machine
    made: dict[str, list[ir.Example]] = {}
    ranks: dict[tuple[str, tuple[ir.Fact, ...]], int] = {}  # of the last spec that shows this
    rank_of: dict[int, int] = {}
    present = set(map(id, machine.instrs))
    for node, piece in sections.of(ast.Example):
        with machine.problems.catch(node.span):
            owner = _owner(node, piece, machine)
            if id(owner) in present:
                example = schemes.example(node, owner.scope, machine)
                made.setdefault(owner.name, []).append(example)
                ranks[example.asm, example.before] = piece.rank
                rank_of[id(example)] = piece.rank
    for name, shown in made.items():
        made[name] = [e for e in shown if rank_of[id(e)] == ranks[e.asm, e.before]]
    sections.instructions = [
        replace(instruction, examples=tuple(made[instruction.name])) if instruction.name in made else instruction
        for instruction in sections.instructions
    ]


def _owner(node: ast.Example, piece: Piece, machine: Machine) -> InstrItem:
    """The instruction whose word an example begins with: one that it stands after, or another one of its spec, though
    an extending one may have removed it since.  What stands in braces has no word: `{rep?rep }movsb` is about movsb.
    """
    text = node.asm.text.strip()
    words = text.split()
    known = [item for item in machine.declared.values() if item.rank <= piece.rank]
    near = [machine.declared[id(other)] for other in piece.after]
    owner = names.begun_by(text, near) or names.begun_by(text, known[::-1]) or _wordless(words, near, known)
    if owner is None:
        hint = did_you_mean(words[0] if words else "", {item.word for item in known})
        raise failure("PG274", "no instruction begins like this example", node.asm.span, hint)
    return owner


def _wordless(words: list[str], near: list[InstrItem], known: list[InstrItem]) -> InstrItem | None:
    """The instruction whose text begins with a brace and has one of these words, or else the first that is near."""
    loose = [item for item in (*near, *known) if item.node.asm.text.lstrip().startswith("{")]
    return next((item for item in loose if item.word in words), None) or next((i for i in loose if i in near), None)
