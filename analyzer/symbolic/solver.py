"""z3: terms go in, answers and models come out.  Nothing else knows of it.

A context that does not count references keeps all its terms for its life, which is that of one analysis.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct

from analyzer.errors import EngineError
from analyzer.symbolic import libz3
from analyzer.symbolic.libz3 import z3
from analyzer.symbolic.model import Entries, Model, Opaque
from analyzer.symbolic.term import Bool, Function, Term

_BINARY = {
    "add": z3.Z3_mk_bvadd,
    "sub": z3.Z3_mk_bvsub,
    "mul": z3.Z3_mk_bvmul,
    "udiv": z3.Z3_mk_bvudiv,
    "urem": z3.Z3_mk_bvurem,
    "sdiv": z3.Z3_mk_bvsdiv,
    "srem": z3.Z3_mk_bvsrem,
    "bvand": z3.Z3_mk_bvand,
    "bvor": z3.Z3_mk_bvor,
    "bvxor": z3.Z3_mk_bvxor,
    "shl": z3.Z3_mk_bvshl,
    "lshr": z3.Z3_mk_bvlshr,
    "ashr": z3.Z3_mk_bvashr,
}
_COMPARE = {"eq": z3.Z3_mk_eq, "ule": z3.Z3_mk_bvule, "sle": z3.Z3_mk_bvsle}

SIMPLIFYING = ("simplify", "propagate-values", "solve-eqs", "elim-uncnstr", "simplify", "smt")
"""The steps of a search: simplifying before searching is far stronger than searching alone on equations between table
entries."""


class Answer(Struct, frozen=True):
    """What the solver said.  `model` is set for `sat`; `reason` for `unknown`."""

    status: Literal["sat", "unsat", "unknown"]
    model: Any = None
    reason: str | None = None


class Unreadable(Exception):
    """A value in a model that is no number."""


class Context:
    """A z3 context with the terms that were sent there."""

    def __init__(self) -> None:
        self._sorts: dict[Any, Any] = {}
        self._numbers: dict[tuple[int, int], Any] = {}
        self._functions: dict[Function, Any] = {}
        self._tactic: Any = None
        self.closed = False

    @cached_property
    def ref(self) -> Any:
        """z3's own, made when a question needs it."""
        config = z3.Z3_mk_config()
        ref = z3.Z3_mk_context(config)
        z3.Z3_del_config(config)
        z3.Z3_set_error_handler(ref, ctypes.cast(libz3.ignore, ctypes.c_void_p))
        return ref

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, with all its solvers."""
        if self.closed or "ref" not in self.__dict__:
            return
        self.closed = True
        if self._tactic is not None:
            z3.Z3_tactic_dec_ref(self.ref, self._tactic)
        z3.Z3_del_context(self.ref)

    # -- terms ---------------------------------------------------------------------------------------------------------

    def _sort(self, width: int, index: int = 0) -> Any:
        if (width, index) not in self._sorts:
            if index:
                sort = z3.Z3_mk_array_sort(self.ref, self._sort(index), self._sort(width))
            else:
                sort = z3.Z3_mk_bv_sort(self.ref, width) if width else z3.Z3_mk_bool_sort(self.ref)
            self._sorts[width, index] = sort
        return self._sorts[width, index]

    def _number(self, value: int, width: int) -> Any:
        if (value, width) not in self._numbers:
            sort = self._sort(width)
            self._numbers[value, width] = z3.Z3_mk_numeral(self.ref, str(value).encode(), sort)
        return self._numbers[value, width]

    def _named(self, name: str) -> Any:
        return z3.Z3_mk_string_symbol(self.ref, name.encode())

    def handle(self, term: Any, width: int = 0) -> Any:
        """z3's handle of a term; constants have this width."""
        if not isinstance(term, Term):
            if isinstance(term, bool):
                return z3.Z3_mk_true(self.ref) if term else z3.Z3_mk_false(self.ref)
            return self._number(term, width)
        if term.handle is None:
            term.handle = self._made(term)
            if not term.handle:
                code = z3.Z3_get_error_code(self.ref)
                raise EngineError(f"z3 refuses {term.op}: {z3.Z3_get_error_msg(self.ref, code).decode()}")
        return term.handle

    def _made(self, t: Term) -> Any:
        ref, op, handle = self.ref, t.op, self.handle
        if op in _BINARY:
            a, b = t.args
            return _BINARY[op](ref, handle(a, t.width), handle(b, t.width))
        if op in _COMPARE:
            a, b = t.args
            return _COMPARE[op](ref, handle(a, t.data), handle(b, t.data))
        match op:
            case "symbol" | "array":
                return z3.Z3_mk_const(ref, self._named(t.data), self._sort(t.width, t.index))
            case "and" | "or":
                args = libz3.array([handle(a) for a in t.args])
                return (z3.Z3_mk_and if op == "and" else z3.Z3_mk_or)(ref, len(t.args), args)
            case "not":
                return z3.Z3_mk_not(ref, handle(t.args[0]))
            case "xor":
                return z3.Z3_mk_xor(ref, handle(t.args[0]), handle(t.args[1]))
            case "ite":
                return z3.Z3_mk_ite(ref, handle(t.args[0]), handle(t.args[1], t.width), handle(t.args[2], t.width))
            case "extract":
                return z3.Z3_mk_extract(ref, t.data[0], t.data[1], handle(t.args[0]))
            case "concat":
                return self._concat(t)
            case "sext":
                return z3.Z3_mk_sign_ext(ref, t.width - t.args[0].width, handle(t.args[0]))
            case "bvnot":
                return z3.Z3_mk_bvnot(ref, handle(t.args[0]))
            case "neg":
                return z3.Z3_mk_bvneg(ref, handle(t.args[0]))
            case "select":
                array, at = t.args
                return z3.Z3_mk_select(ref, handle(array), handle(at, array.index))
            case "store":
                array, at, value = t.args
                return z3.Z3_mk_store(ref, handle(array), handle(at, t.index), handle(value, t.width))
            case "fill":
                return z3.Z3_mk_const_array(ref, self._sort(t.index), handle(t.args[0], t.width))
            case "flip":
                return self._flip(t)
            case "same":
                return z3.Z3_mk_eq(ref, handle(t.args[0]), handle(t.args[1]))
            case "apply":
                return self._apply(t)
            case "forall":
                return self._forall(t)
        raise ValueError(op)

    def _concat(self, t: Term) -> Any:
        out = self.handle(t.args[-1], t.data[-1])
        for part, width in zip(reversed(t.args[:-1]), reversed(t.data[:-1]), strict=True):
            out = z3.Z3_mk_concat(self.ref, self.handle(part, width), out)
        return out

    def _apply(self, t: Term) -> Any:
        f: Function = t.data
        if f not in self._functions:
            domain = libz3.array([self._sort(width) for width in f.widths])
            args = (self.ref, self._named(f.name), len(f.widths), domain, self._sort(f.width))
            self._functions[f] = z3.Z3_mk_func_decl(*args)
        given = libz3.array([self.handle(a, width) for a, width in zip(t.args, f.widths, strict=True)])
        return z3.Z3_mk_app(self.ref, self._functions[f], len(t.args), given)

    def _flip(self, t: Term) -> Any:
        sort = self._sort(t.width)
        entry = z3.Z3_mk_const(self.ref, self._named("entry"), sort)
        inverted = z3.Z3_to_app(self.ref, z3.Z3_mk_bvnot(self.ref, entry))
        arrays = libz3.array([self.handle(t.args[0])])
        return z3.Z3_mk_map(self.ref, z3.Z3_get_app_decl(self.ref, inverted), 1, arrays)

    def _forall(self, t: Term) -> Any:
        bound = libz3.array([z3.Z3_to_app(self.ref, self.handle(b)) for b in t.data])
        return z3.Z3_mk_forall_const(self.ref, 0, len(t.data), bound, 0, None, self.handle(t.args[0]))

    # -- solvers -------------------------------------------------------------------------------------------------------

    def simplifying(self) -> Any:
        """A raw solver that simplifies before it searches."""
        if self._tactic is None:
            tactic = None
            for name in SIMPLIFYING:
                one = z3.Z3_mk_tactic(self.ref, name.encode())
                z3.Z3_tactic_inc_ref(self.ref, one)
                if tactic is not None:
                    both = z3.Z3_tactic_and_then(self.ref, tactic, one)
                    z3.Z3_tactic_inc_ref(self.ref, both)
                    z3.Z3_tactic_dec_ref(self.ref, one)
                    z3.Z3_tactic_dec_ref(self.ref, tactic)
                    one = both
                tactic = one
            self._tactic = tactic
        return z3.Z3_mk_solver_from_tactic(self.ref, self._tactic)

    # -- models --------------------------------------------------------------------------------------------------------

    def read(self, model: Any) -> Model:
        """A model as values.

        Raises:
            Unreadable: something in it is no number.
        """
        ref = self.ref
        symbols: dict[str, int] = {}
        arrays: dict[str, Entries] = {}
        for i in range(z3.Z3_model_get_num_consts(ref, model)):
            decl = z3.Z3_model_get_const_decl(ref, model, i)
            value = z3.Z3_model_get_const_interp(ref, model, decl)
            if z3.Z3_get_sort_kind(ref, z3.Z3_get_range(ref, decl)) == libz3.ARRAY_SORT:
                arrays[self._name_of(decl)] = self._array(model, value)
            else:
                symbols[self._name_of(decl)] = self._value(value)
        functions: dict[str, Entries] = {}
        asked = {f.name for f in self._functions}  # z3 adds some of its own, on arrays too
        for i in range(z3.Z3_model_get_num_funcs(ref, model)):
            decl = z3.Z3_model_get_func_decl(ref, model, i)
            if (name := self._name_of(decl)) in asked:
                functions[name] = self._function(model, decl, False)
        return Model(symbols, arrays, functions)

    def _name_of(self, decl: Any) -> str:
        name: bytes = z3.Z3_get_symbol_string(self.ref, z3.Z3_get_decl_name(self.ref, decl))
        return name.decode()

    def _value(self, value: Any) -> int:
        kind = z3.Z3_get_ast_kind(self.ref, value)
        if kind == libz3.NUMERAL_AST:
            small = ctypes.c_ulonglong()
            if z3.Z3_get_numeral_uint64(self.ref, value, ctypes.byref(small)):
                return small.value
            return int(z3.Z3_get_numeral_string(self.ref, value))
        truth = z3.Z3_get_bool_value(self.ref, value)
        if kind != libz3.APP_AST or truth == libz3.UNDEFINED:
            raise Unreadable
        return int(truth == libz3.TRUE)

    def _array(self, model: Any, value: Any) -> Entries:
        ref, known = self.ref, dict[int, int]()
        while True:
            if z3.Z3_get_ast_kind(ref, value) != libz3.APP_AST:
                raise Unreadable
            app = z3.Z3_to_app(ref, value)
            match z3.Z3_get_decl_kind(ref, z3.Z3_get_app_decl(ref, app)):
                case libz3.OP_STORE:
                    array, at, entry = (z3.Z3_get_app_arg(ref, app, i) for i in range(3))
                    known.setdefault(self._value(at), self._value(entry))
                    value = array
                case libz3.OP_CONST_ARRAY:
                    return Entries(known, self._value(z3.Z3_get_app_arg(ref, app, 0)))
                case libz3.OP_AS_ARRAY:
                    below = self._function(model, z3.Z3_get_as_array_func_decl(ref, value), True)
                    return Entries({**below.known, **known}, below.default)
                case _:
                    raise Unreadable

    def _function(self, model: Any, decl: Any, single: bool) -> Entries:
        ref = self.ref
        interpretation = z3.Z3_model_get_func_interp(ref, model, decl)
        if not interpretation:
            return Entries({})
        z3.Z3_func_interp_inc_ref(ref, interpretation)
        known: dict[Any, int] = {}
        for i in range(z3.Z3_func_interp_get_num_entries(ref, interpretation)):
            entry = z3.Z3_func_interp_get_entry(ref, interpretation, i)
            z3.Z3_func_entry_inc_ref(ref, entry)
            count = z3.Z3_func_entry_get_num_args(ref, entry)
            at = tuple(self._value(z3.Z3_func_entry_get_arg(ref, entry, j)) for j in range(count))
            known[at[0] if single else at] = self._value(z3.Z3_func_entry_get_value(ref, entry))
            z3.Z3_func_entry_dec_ref(ref, entry)
        default = self._value(z3.Z3_func_interp_get_else(ref, interpretation))
        z3.Z3_func_interp_dec_ref(ref, interpretation)
        return Entries(known, default)


class Solver:
    """Assertions that questions can be asked about, each within `rlimit` (z3's measure of work, not of time)."""

    def __init__(self, context: Context, rlimit: int, simplifying: bool = False) -> None:
        self._context = context
        self._simplifying = simplifying
        self.asserted: list[Bool] = []
        self.rlimit = rlimit
        self._levels: list[int] = []
        self._told = 0  # how many of the assertions z3 knows
        self._limited = 0  # the limit that it knows

    @cached_property
    def _solver(self) -> Any:
        """z3's own."""
        ref = self._context.ref
        solver = self._context.simplifying() if self._simplifying else z3.Z3_mk_simple_solver(ref)
        z3.Z3_solver_inc_ref(ref, solver)
        return solver

    def __del__(self) -> None:
        if self._context.closed or "_solver" not in self.__dict__:  # if both were garbage, it came first
            return
        z3.Z3_solver_dec_ref(self._context.ref, self._solver)

    def limit(self, rlimit: int) -> None:
        """The work allowed for a question from now on."""
        self.rlimit = rlimit

    def add(self, *formulas: Bool) -> None:
        """Asserts formulas."""
        self.asserted += (f for f in formulas if f is not True)

    def _tell(self) -> None:
        """Tells z3 what it does not know yet."""
        for formula in self.asserted[self._told :]:
            z3.Z3_solver_assert(self._context.ref, self._solver, self._context.handle(formula))
        self._told = len(self.asserted)

    def push(self) -> None:
        """What is asserted from now on is taken back by `pop`."""
        self._tell()
        self._levels.append(self._told)
        z3.Z3_solver_push(self._context.ref, self._solver)

    def pop(self) -> None:
        """Takes back what was asserted since `push`."""
        self._told = self._levels.pop()
        del self.asserted[self._told :]
        z3.Z3_solver_pop(self._context.ref, self._solver, 1)

    def check(self, assumptions: Iterable[Bool] = ()) -> Answer:
        """Can all that was asserted hold, and the assumptions?  A model is believed when it makes them true."""
        ref = self._context.ref
        self._tell()
        self._tell_limit()
        assumed = [a for a in assumptions if a is not True]
        handles = libz3.array([self._context.handle(a) for a in assumed])
        result = z3.Z3_solver_check_assumptions(ref, self._solver, len(assumed), handles)
        if result == libz3.FALSE:
            return Answer("unsat")
        if result != libz3.TRUE:
            return Answer("unknown", reason=z3.Z3_solver_get_reason_unknown(ref, self._solver).decode())
        raw = z3.Z3_solver_get_model(ref, self._solver)
        z3.Z3_model_inc_ref(ref, raw)
        try:
            model = self._context.read(raw)
            if all(_true(model, f) for f in (*self.asserted, *assumed)):
                return Answer("sat", model)
        except Unreadable:
            pass
        finally:
            z3.Z3_model_dec_ref(ref, raw)
        return Answer("unknown", reason="the model could not be confirmed")

    def _tell_limit(self) -> None:
        """Tells z3 its limit, and to leave SIGINT alone: it would take an interrupt for an `unknown`."""
        if self._limited == self.rlimit:
            return
        ref = self._context.ref
        parameters = z3.Z3_mk_params(ref)
        z3.Z3_params_inc_ref(ref, parameters)
        z3.Z3_params_set_uint(ref, parameters, z3.Z3_mk_string_symbol(ref, b"rlimit"), self.rlimit)
        z3.Z3_params_set_bool(ref, parameters, z3.Z3_mk_string_symbol(ref, b"ctrl_c"), False)
        z3.Z3_solver_set_params(ref, self._solver, parameters)
        z3.Z3_params_dec_ref(ref, parameters)
        self._limited = self.rlimit

    def spent(self) -> int:
        """The work done so far."""
        ref = self._context.ref
        statistics = z3.Z3_solver_get_statistics(ref, self._solver)
        z3.Z3_stats_inc_ref(ref, statistics)
        out = 0
        for i in range(z3.Z3_stats_size(ref, statistics)):
            if z3.Z3_stats_get_key(ref, statistics, i) == b"rlimit count":
                out = int(z3.Z3_stats_get_uint_value(ref, statistics, i))
        z3.Z3_stats_dec_ref(ref, statistics)
        return out


def _true(model: Model, formula: Bool) -> bool:
    try:
        return model.holds(formula)
    except Opaque:
        return True


def z3_version() -> str:
    """The solver's version: verdicts may differ between versions, because `unknown` is a matter of heuristics."""
    parts = [ctypes.c_uint() for _ in range(4)]
    z3.Z3_get_version(*map(ctypes.byref, parts))
    return ".".join(str(p.value) for p in parts[:3])
