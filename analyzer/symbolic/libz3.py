"""z3's C interface: the functions that are used, with the types that `z3_api.h` gives them.

z3's Python package takes longer to import than a small machine takes to be analysed, and its classes cost more than the
solving, so only the library in it is used.  Pointers are Python's integers here, and text is bytes; an error shows as a
null pointer, which is None.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FALSE, UNDEFINED, TRUE = -1, 0, 1
"""`Z3_lbool`"""

NUMERAL_AST, APP_AST = 0, 1
"""`Z3_ast_kind`"""

ARRAY_SORT = 5
"""`Z3_sort_kind`"""

OP_STORE, OP_CONST_ARRAY, OP_AS_ARRAY = 0x300, 0x302, 0x30A
"""`Z3_decl_kind`"""

SIGNATURES = {
    "v:p": "del_config del_context",
    "v:pp": "func_entry_dec_ref func_entry_inc_ref func_interp_dec_ref func_interp_inc_ref model_dec_ref model_inc_ref "
    "params_dec_ref params_inc_ref set_error_handler solver_dec_ref solver_inc_ref solver_push stats_dec_ref "
    "stats_inc_ref tactic_dec_ref tactic_inc_ref",
    "v:ppp": "solver_assert solver_set_params",
    "v:pppb": "params_set_bool",
    "v:pppp": "get_version",
    "v:pppu": "params_set_uint",
    "v:ppu": "solver_pop",
    "b:ppp": "get_numeral_uint64",
    "i:pp": "get_bool_value",
    "i:ppup": "solver_check_assumptions",
    "u:p": "get_error_code",
    "u:pp": "func_entry_get_num_args func_interp_get_num_entries get_ast_kind get_decl_kind get_sort_kind "
    "model_get_num_consts model_get_num_funcs stats_size",
    "u:ppu": "stats_get_uint_value",
    "s:pp": "get_numeral_string get_symbol_string solver_get_reason_unknown",
    "s:ppu": "stats_get_key",
    "s:pu": "get_error_msg",
    "p:": "mk_config",
    "p:p": "mk_bool_sort mk_context mk_false mk_params mk_simple_solver mk_true",
    "p:pp": "func_entry_get_value func_interp_get_else get_app_decl get_as_array_func_decl get_decl_name get_range "
    "mk_bvneg mk_bvnot mk_not mk_solver_from_tactic solver_get_model solver_get_statistics to_app",
    "p:ps": "mk_string_symbol mk_tactic",
    "p:pu": "mk_bv_sort",
    "p:ppp": "mk_array_sort mk_bvadd mk_bvand mk_bvashr mk_bvlshr mk_bvmul mk_bvor mk_bvsdiv mk_bvshl mk_bvsle "
    "mk_bvsrem mk_bvsub mk_bvudiv mk_bvule mk_bvurem mk_bvxor mk_concat mk_const mk_const_array mk_eq mk_select mk_xor "
    "model_get_const_interp model_get_func_interp tactic_and_then",
    "p:ppu": "func_entry_get_arg func_interp_get_entry get_app_arg model_get_const_decl model_get_func_decl",
    "p:psp": "mk_numeral",
    "p:pup": "mk_and mk_or mk_sign_ext",
    "p:pppp": "mk_ite mk_store",
    "p:ppup": "mk_app mk_map",
    "p:puup": "mk_extract",
    "p:ppupp": "mk_func_decl",
    "p:puupupp": "mk_forall_const",
}
"""Functions, without `Z3_`, by what they return and take: nothing (v), a pointer (p), a boolean, a signed or unsigned
number of 32 bits, a string."""

_TYPES: dict[str, Any] = {
    "v": None,
    "p": ctypes.c_void_p,
    "b": ctypes.c_bool,
    "i": ctypes.c_int,
    "u": ctypes.c_uint,
    "s": ctypes.c_char_p,
}
_WITH = {name: signature for signature, names in SIGNATURES.items() for name in names.split()}


class Library:
    """Its functions, each looked up when it is first used."""

    def __init__(self) -> None:
        self._library = _found()

    def __getattr__(self, name: str) -> Any:
        signature = _WITH.get(name.removeprefix("Z3_"))
        if signature is None:
            raise AttributeError(name)
        result, arguments = signature.split(":")
        function = self._library[name]
        function.restype = _TYPES[result]
        function.argtypes = [_TYPES[a] for a in arguments]
        setattr(self, name, function)
        return function


def _found() -> ctypes.CDLL:
    """The library in the package, which is not imported for it; where there is none, the package knows another."""
    package = find_spec("z3")
    places = () if package is None else package.submodule_search_locations or ()
    files = sorted((file for place in places for file in Path(place).glob("lib/libz3.*")), reverse=True)
    for file in files:  # the name with a version first, as the package does
        if file.suffix not in (".a", ".lib"):
            return ctypes.CDLL(str(file))
    from z3 import z3core

    library: ctypes.CDLL = z3core.lib()
    return library


z3 = Library()


ignore = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint)(lambda context, code: None)
"""What z3 does about an error; left to itself, it ends the process."""


def array(handles: list[int]) -> Any:
    """Pointers as C passes many of them."""
    return (ctypes.c_void_p * len(handles))(*handles)
