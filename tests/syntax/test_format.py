"""The formatter: its laws on all specs and fragments, and its rules one by one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from analyzer.errors import SpecError
from analyzer.source import Source
from analyzer.syntax import grammar
from analyzer.syntax.format import format_source
from analyzer.syntax.lines import scan
from analyzer.syntax.parse import parse

ROOT = Path(__file__).parents[2]
SPECS = [*sorted((ROOT / "isa_specs").glob("*.isa")), *sorted((ROOT / "tests/fragments").glob("*.isa"))]


def comments(text: str) -> list[str]:
    return [t.text.rstrip() for t in scan(Source("t.isa", text), grammar.load()) if t.kind == "COMMENT"]


def check_laws(text: str) -> str:
    formatted = format_source(text)
    assert parse(Source("b.isa", formatted)) == parse(Source("a.isa", text))
    assert format_source(formatted) == formatted
    assert comments(formatted) == comments(text)
    assert all(line == line.rstrip() for line in formatted.split("\n"))
    assert "\n\n\n" not in formatted
    return formatted


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_laws(path: Path) -> None:
    check_laws(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_the_author_spaced_does_not_matter(path: Path) -> None:
    """Each gap in a line doubled, tabs, blank lines and Windows' line ends change nothing but where blank lines are."""
    text = path.read_text(encoding="utf-8")
    lines = []
    tokens = scan(Source("t.isa", text), grammar.load())
    for before, token in pairwise(tokens):
        gap = text[before.end : token.start]
        lines.append(before.text + (gap and (" \t" + gap)))
    spread = "".join([*lines, tokens[-1].text]).replace("\n", " \r\n  ")
    assert format_source(spread).replace("\n\n", "\n") == format_source(text).replace("\n\n", "\n")


def test_an_error_is_reported_not_formatted() -> None:
    with pytest.raises(SpecError):
        format_source("isa t\nunit")


CASES = {
    "spaces": (
        """
param   x=a+b*-c
param y = m [ a , 32 ,m=K ]
view v [ n : 3 ] : 8=r[ n ] [ 7 : 0 ]
fn f (a : 8)->8=g( a )
""",
        """
param x = a + b * -c
param y = m[a, 32, m = K]
view v[n: 3] : 8 = r[n][7:0]
fn f(a: 8) -> 8 = g(a)
""",
    ),
    "slices": (
        """
param x = r[ w - 1 : 0 ]
param y = v[11+9*level:9*level]
param z = r[n + 1] ++ m[a+1, 8]
param u = r[w % s:0]
""",
        """
param x = r[w-1:0]
param y = v[11+9*level : 9*level]
param z = r[n+1] ++ m[a + 1, 8]
param u = r[w % s:0]
""",
    ),
    "patterns": (
        """
instr "x" = 01 n : 4 imm [ 4 : 1 | 11 ] 5 : 3 ~ 00 , k : 16 , d ... F ( 01 ) { }
""",
        """
instr "x" = 01 n:4 imm[4:1|11] 5:3 ~00, k:16, d... F(01) { }
""",
    ),
    "soft words": (
        """
param x = read (a) + size[3]
memory m[a: 3] : 8 size(q) else trap t (a)
""",
        """
param x = read(a) + size[3]
memory m[a: 3] : 8 size (q) else trap t(a)
""",
    ),
    "semicolons": (
        """
advance { ; a = 1 ;; b = 2; }
advance { a = 1;
 b = 2;  // c
}
""",
        """
advance { a = 1; b = 2 }

advance { a = 1
  b = 2  // c
}
""",
    ),
    "layouts": (
        """
state guest f : 8 { A[7] ro B[3] guest { C[1] D[0] } }
""",
        """
state guest f : 8 { A[7] ro  B[3]  guest { C[1]  D[0] } }
""",
    ),
    "rows under the first": (
        """

table T { a|b
1|22 // one
  // between
333|4 }
""",
        """

table T { a | b
          1 | 22  // one
          // between
          333 | 4 }
""",
    ),
    "rows aligned": (
        """
for {
op|f7
"add"|0000000
"s"|1
} instr "{op}" = f7 { }
""",
        """

for {
  op    | f7
  "add" | 0000000
  "s"   | 1
} instr "{op}" = f7 { }
""",
    ),
    "arms aligned": (
        """
operand ea(w) : 6 {
| 000 n:3 "r{n}" => r[n]
| 010 111, k:16 "#{k}" { return k }
}
""",
        """

operand ea(w) : 6 {
  | 000 n:3       "r{n}" => r[n]
  | 010 111, k:16 "#{k}" { return k }
}
""",
    ),
    "instructions aligned": (
        """
instr "add {a}" = 0 { x = 1 }
instr "b" = 10 { }

instr "c" = 1 { }
""",
        """
instr "add {a}" = 0  { x = 1 }
instr "b"       = 10 { }

instr "c" = 1 { }
""",
    ),
    "not torn apart": (
        """
instr "a" = 0 { }
instr "a very long assembly text that no other one is as long as" = 1 { }
""",
        """
instr "a" = 0 { }
instr "a very long assembly text that no other one is as long as" = 1 { }
""",
    ),
    "comments aligned": (
        """
// top
unit 8 // a
param xx = 1     // b

param y = 2 //c
""",
        """
// top
unit 8        // a
param xx = 1  // b

param y = 2  //c
""",
    ),
    "blank lines": (
        """


unit 8



param x = 1
advance {

  a = 1


  b = 2

}
// about y
param y = 1

""",
        """

unit 8

param x = 1

advance {
  a = 1

  b = 2
}

// about y
param y = 1
""",
    ),
    "clauses stay": (
        """
instr "a" = 0 {
 x = 1 }

expect privileged
example "a" from { } to { }
instr "b" = 1 { }
""",
        """

instr "a" = 0 {
  x = 1 }
expect privileged
example "a" from { } to { }

instr "b" = 1 { }
""",
    ),
    "indentation": (
        """

advance {
if a { b = c +
d
} else if e {
(x, y) = f(a,
b)
}
else {
x = match a {
0 => 1
_ => 2 } } }
""",
        """

advance {
  if a { b = c +
      d
  } else if e {
    (x, y) = f(a,
      b)
  }
  else {
    x = match a {
      0 => 1
      _ => 2 } } }
""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rules(name: str) -> None:
    text, expected = CASES[name]
    assert check_laws("isa   t" + text) == "isa t" + expected


def test_hyphens_of_names() -> None:
    assert check_laws("isa a - b-2 extends c -d\n") == "isa a-b-2 extends c-d\n"
