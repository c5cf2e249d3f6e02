"""Text to tree: the shapes of the grammar, its corners, and every error message."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from diagnosed import told

from analyzer.errors import Diagnostic, SpecError
from analyzer.source import Source
from analyzer.syntax import ast, grammar
from analyzer.syntax.parse import MAX_ERRORS, MAX_SIZE, parse
from analyzer.syntax.reductions import BUILD
from analyzer.syntax.scene import SOFT
from analyzer.syntax.walk import walk

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
SPECS = [*sorted((ROOT / "isa_specs").glob("*.isa")), *sorted((ROOT / "tests/fragments").glob("*.isa"))]
PAGES = sorted((ROOT / "analyzer/diagnostics").glob("PG1*.md"))


def tree(text: str) -> ast.File:
    return parse(Source("t.isa", "isa t\n" + text))


def item(text: str) -> ast.Item:
    (only,) = tree(text).items
    return only


def expr(text: str) -> ast.Expr:
    param = item(f"param x = {text}")
    assert isinstance(param, ast.Param)
    return param.value


def show(node: object) -> str:
    """An expression with all its brackets."""
    match node:
        case ast.Name(text) | ast.Number(text):
            return text
        case ast.Binary(op, left, right):
            return f"({show(left)} {op} {show(right)})"
        case ast.Unary(op, arg):
            return f"({op} {show(arg)})"
        case ast.Member(value, name):
            return f"{show(value)}.{name.text}"
        case ast.Subscript(value, indices):
            return f"{show(value)}[{', '.join(map(show, indices))}]"
        case ast.Index(high, low):
            return show(high) if low is None else f"{show(high)}:{show(low)}"
        case ast.NamedIndex(name, value):
            return f"{name.text}={show(value)}"
        case ast.Call(function, args):
            return f"{show(function)}({', '.join(map(show, args))})"
        case ast.Arg(name, value):
            return show(value) if name is None else f"{name.text}={show(value)}"
        case ast.Tuple(items):
            return f"<{', '.join(map(show, items))}>"
        case ast.IfExpr(cond, then, other):
            return f"if {show(cond)} then {show(then)} else {show(other)}"
        case ast.CurrentMode():
            return "mode"
        case ast.TableView(space):
            return f"table {space.text}"
        case _:
            raise AssertionError(node)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a or b and not c == d", "(a or (b and (not (c == d))))"),
        ("a xor b or c", "((a xor b) or c)"),
        ("a ++ b << 2 + 3 * -c", "(a ++ (b << (2 + (3 * (- c)))))"),
        ("a - b - c", "((a - b) - c)"),
        ("a > b", "(a > b)"),
        ("a <s b and b >=s c", "((a <s b) and (b >=s c))"),
        ("a >>s 1 %s 2", "(a >>s (1 %s 2))"),
        ("(a)", "a"),
        ("(a, b)", "<a, b>"),
        ("(a + b)[3:0].f", "(a + b)[3:0].f"),
        ("m[a, 32, m = K]", "m[a, 32, m=K]"),
        ("f(a, b = 2)(c)", "f(a, b=2)(c)"),
        ("if a then b else if c then d else e", "if a then b else if c then d else e"),
        ("table phys[a]", "table phys[a]"),
        ("mode == K", "(mode == K)"),
        ("read + size", "(read + size)"),
        ("0x1F_00 + 0010", "(0x1F_00 + 0010)"),
        ("a +\n  b", "(a + b)"),
        ("a\n  + b", "(a + b)"),
        ("f(\n  a,\n  b\n)", "f(a, b)"),
    ],
)
def test_expressions(text: str, meaning: str) -> None:
    assert show(expr(text)) == meaning


def test_spans_are_those_of_the_source() -> None:
    text = "isa t\nfn f(a: 8) -> 8 = (a + 1) * two\n"
    fn = parse(Source("t.isa", text)).items[0]
    assert isinstance(fn, ast.Fn)
    product = fn.body
    assert isinstance(product, ast.Binary)
    assert [text[n.span.start : n.span.end] for n in (fn, product, product.left, product.right)] == [
        "fn f(a: 8) -> 8 = (a + 1) * two",
        "(a + 1) * two",
        "(a + 1)",
        "two",
    ]
    assert (product.span.line, product.span.column) == (2, 19)


def test_nodes_compare_without_spans() -> None:
    assert expr("a+ b") == expr("a  +b")
    assert expr("a + b") != expr("a - b")


def test_lines_end_statements_unless_they_go_on() -> None:
    deliver = item("deliver t {\n\n  x = 1; y = 2 ;\n\n  z = a +\n    b  // and\n  // so on\n  w = m[\n 1\n ]\n}")
    assert isinstance(deliver, ast.Deliver)
    assert len(deliver.body.stmts) == 4


def test_braces_inside_brackets_have_lines_again() -> None:
    value = expr("(match a {\n  0 => b\n  _ => c\n})")
    assert isinstance(value, ast.MatchExpr)
    assert len(value.arms) == 2


def test_else_if_is_a_block() -> None:
    advance = item("advance { if a { x = 1 } else if b { x = 2 }\n else { x = 3 } }")
    assert isinstance(advance, ast.Advance)
    (stmt,) = advance.body.stmts
    assert isinstance(stmt, ast.If)
    assert stmt.other is not None
    assert isinstance(stmt.other.stmts[0], ast.If)


def test_digits_keep_their_spelling() -> None:
    instr = item('instr "x" = 0010 0x4E 5:3 rd n:4 _:2 ~00 imm[4:1|11], k:16, dst... F(01, 1 a) { }')
    assert isinstance(instr, ast.Instr)
    first, second, third = instr.pattern.groups
    assert [type(atom).__name__ for atom in first.atoms] == [
        "Bits", "Bits", "Sized", "FieldUse", "FieldDef", "FieldDef", "ShouldBe", "Scatter",
    ]  # fmt: skip
    assert isinstance(first.atoms[0], ast.Bits)
    assert first.atoms[0].text == "0010"
    assert len(second.atoms) == 1
    assert [type(atom).__name__ for atom in third.atoms] == ["Tail", "FormatUse"]


def test_names_with_hyphens() -> None:
    header = parse(Source("t.isa", 'isa ia32-umip extends ia32 "UMIP"\n')).header
    assert (header.name.text, header.base and header.base.text) == ("ia32-umip", "ia32")


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_specs_parse(path: Path) -> None:
    parse(Source(path.name, path.read_text(encoding="utf-8")))


def test_a_thousand_lines_parse_in_time() -> None:
    text = (ROOT / "tests/fragments/rv64.isa").read_text(encoding="utf-8")
    head, _, body = text.partition("\n")
    source = Source("long.isa", head + "\n" + body * 11)
    grammar.load()
    start = time.process_time()
    parse(source)
    assert time.process_time() - start < 1.0  # 0.11 s where this was written


def test_every_kind_of_node_is_built() -> None:
    kinds = {type(node) for path in SPECS for node in walk(parse(Source(path.name, path.read_text(encoding="utf-8"))))}
    extra = tree(
        'import "a.isa"\nfeature f "n"\nenable f\nwhen f { unit 8 }\nparam p = 1\nchoice q : 8\n'
        'invariant a == 1 "why"\n'
        "state guest a : 8 reset 1 zero 0 preserved\nstate map { b : 8 { F[3] w1c ro legal (1) reset 0 } }\n"
        'unspecified u(a: 8) -> 8 "device"\ntable m[i: 2] : 8 = { 1, K = 3 }\nremove a\noverride fn f() = 1\n'
        'operand o : 3 names "a b"\noperand r : 8 set "a b"\nformat F = 0101\nexample "x" from { a = 1 } to trap b\n'
        'scheme s { own a "w"\n guest a\n assume a for p : 8\n let k : 8\n compose a = k\n environment a\n direct U\n'
        " choose a\n expect virtualizable }\nadvance { unpredictable if a\n commit\n again\n done }\n"
        'instr "x" = ~0 5:3 F(1) o... { while a limit 3 { var x = 1 } else { } }'
    )
    kinds |= {type(node) for node in walk(extra)}
    declared = {cls for cls in vars(ast).values() if isinstance(cls, type) and issubclass(cls, ast.Node)}
    assert declared - kinds == {ast.Node}


# -- the generated tables ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated() -> str:
    text = (ROOT / "analyzer/syntax" / grammar.GRAMMAR).read_text(encoding="utf-8")
    return grammar.encode(grammar.generate(text))


def test_tables_are_those_of_the_grammar(generated: str) -> None:
    """If not: `python -m analyzer.syntax.grammar`."""
    assert (ROOT / "analyzer/syntax" / grammar.TABLES).read_text(encoding="utf-8") == generated


def test_rules_and_builders_match(generated: str) -> None:
    names = {name for _, name, _, _, _ in json.loads(generated)["rules"] if name}
    assert names == set(BUILD)


def test_soft_words_are_those_of_the_grammar() -> None:
    text = (ROOT / "analyzer/syntax" / grammar.GRAMMAR).read_text(encoding="utf-8")
    rule = re.search(r"^!ident: ((?:.*\n)(?:     \|.*\n)*)", text, re.MULTILINE)
    assert rule is not None
    assert {word.upper() for word in re.findall(r'"(\w+)"', rule[1])} == SOFT


# -- errors ------------------------------------------------------------------------------------------------------------


def diagnostics(text: str, name: str = "t.isa") -> tuple[Diagnostic, ...]:
    with pytest.raises(SpecError) as caught:
        parse(Source(name, text))
    return caught.value.diagnostics


def report(text: str, name: str) -> str:
    """The diagnostics of a text, each with its line and a caret."""
    found = diagnostics(text, name)
    assert all(diagnostic.span is not None for diagnostic in found)
    return told(found, Source(name, text))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.isa")), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    expected = path.with_suffix(".txt")
    found = report(path.read_bytes().decode("utf-8"), path.name)
    if os.environ.get("POPEK_GOLDEN"):
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


def test_golden_covers_the_codes() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.txt"))
    assert set(re.findall(r"PG1\d\d", texts)) == {path.stem for path in PAGES} - {"PG111"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_show_their_error(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.stem}: ")
    for broken, mended in zip(*[iter(re.findall(r"```isa\n(.*?)```", text, re.DOTALL))] * 2, strict=True):
        assert {diagnostic.code for diagnostic in diagnostics(broken)} == {path.stem}
        parse(Source("mended.isa", mended))


def test_large_files_are_refused() -> None:
    (diagnostic,) = diagnostics("isa t\n" + "//" * MAX_SIZE)
    assert diagnostic.code == "PG111"


def test_errors_are_limited() -> None:
    assert len(diagnostics("isa t\n" + "unit little\n" * 100)) == MAX_ERRORS


@pytest.mark.parametrize(
    "value",
    [
        "-" * 5000 + "a",
        "not " * 5000 + "a",
        " + ".join("a" * 5000),
        ".".join("a" * 5000),
        "a" + "[0]" * 5000,
        "f(" * 5000 + ")" * 5000,
        "(a + " * 5000 + "b" + ")" * 5000,
        "if a then b else " * 5000 + "c",
        "match a { _ => " * 1000 + "b" + "}" * 1000,
        "((a + " * 150 + "b" + ") + c + d)" * 150,
        "((((" * 5000,
        "))))" * 5000,
    ],
    ids=lambda value: value[:12],
)
def test_depth_is_limited(value: str) -> None:
    found = diagnostics(f"isa t\nparam x = {value}\n")
    assert found[0].code in {"PG110", "PG104"}


def test_else_if_ladders_are_limited() -> None:
    (diagnostic,) = diagnostics("isa t\nadvance { " + "if a { b = 1 } else " * 3000 + "{ c = 1 } }")
    assert diagnostic.code == "PG110"
