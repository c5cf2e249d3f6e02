"""The command `popek`: where its commands are, and what ends it: an exit code, and a message for whatever went wrong.

Exit codes: 0 as expected; 1 findings; 2 wrong usage, or a spec that does not check; 3 inconclusive; 70 an internal
error; 130 interrupted.  They do not depend on the format of the output.  A command's module is imported when it is
asked for, and what is slow to import inside the command that needs it.
"""

from __future__ import annotations

import os

try:
    import sys
    from collections.abc import Callable
    from typing import Annotated, Any

    import typer
    from typer.core import TyperGroup

    from analyzer.errors import AssemblyError, Breach, EngineError, PopekError, Refused, SpecError, UsageError
    from commands.interrupts import interrupted, interruptible, silence
    from commands.printing import FINDINGS, INCONCLUSIVE, INTERNAL, OK, USAGE, complain, stop
except KeyboardInterrupt:
    os._exit(130)  # nothing has begun


def verdict() -> typer.Typer:
    from commands.verdict import app

    return app


def language() -> typer.Typer:
    from commands.language import app

    return app


def machine() -> typer.Typer:
    from commands.machine import app

    return app


def monitor() -> typer.Typer:
    from commands.monitor import app

    return app


FAMILIES: dict[str, Callable[[], typer.Typer]] = {
    "check": verdict,
    "explain": verdict,
    "cache": verdict,
    "list": verdict,
    "repair": verdict,
    "intercepts": verdict,
    "graph": verdict,
    "fmt": language,
    "asm": language,
    "disasm": language,
    "tour": machine,
    "new": language,
    "replay": machine,
    "run": machine,
    "validate": monitor,
    "pills": monitor,
    "bench": machine,
    "vmm": monitor,
}
"""The commands in the order in which they are listed, each with what imports it."""


class Guarded(TyperGroup):
    """Commands that are imported when they are asked for, and that end with a message and an exit code, whatever goes
    wrong in them."""

    def list_commands(self, ctx: Any) -> list[str]:
        self.learn(*FAMILIES)
        return list(FAMILIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        self.learn(*((cmd_name,) if cmd_name in FAMILIES else FAMILIES))  # all, to suggest one that is like it
        return self.commands.get(cmd_name)

    def learn(self, *names: str) -> None:
        """Imports the families of these commands."""
        for name in names:
            if name not in self.commands:
                self.commands.update(typer.main.get_group(FAMILIES[name]()).commands)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (typer.Exit, typer.Abort):
            try:
                sys.stdout.flush()
            except BrokenPipeError:
                silence(sys.stdout)
            raise
        except BaseException as error:
            stop(ended_by(error))


def ended_by(error: BaseException) -> int:
    """Says what ended a command, and the exit code for it; raises what is not for us to tell."""
    match error:
        case KeyboardInterrupt():
            return interrupted()
        case BrokenPipeError():  # the reader has seen enough
            silence(sys.stdout)
            return OK
        case SpecError() | AssemblyError():
            complain(error.diagnostics)
            return USAGE
        case Breach():
            complain(error.diagnostics)
            return FINDINGS
        case Refused():
            complain(error.diagnostics)
            return refusal(error)
        case UsageError():
            hint = f"\n  hint: {error.hint}" if error.hint else ""
            print(f"error: {error}{hint}", file=sys.stderr)
            return USAGE
        case EngineError():
            print(f"error[PG902]: {error}", file=sys.stderr)
            return INCONCLUSIVE
        case OSError():
            print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
            return USAGE
        case UnicodeDecodeError():
            print(f"error: this is no UTF-8 text: {error}", file=sys.stderr)
            return USAGE
        case Exception() if not type(error).__module__.startswith("typer."):  # its usage errors print themselves
            return failed(error)
        case _:
            raise error


def failed(error: Exception) -> int:
    """Says that something failed which should not."""
    if isinstance(error.__cause__, KeyboardInterrupt):  # while a class was made
        return interrupted()
    if os.environ.get("POPEK_DEBUG"):
        raise error
    if type(error).__name__ == "BrokenProcessPool":
        print("error[PG902]: a worker process died (out of memory?): try fewer --jobs", file=sys.stderr)
        return INCONCLUSIVE
    told = str(error).strip().partition("\n")[0][:200]
    print(f"internal error, please report: {type(error).__name__}: {told}", file=sys.stderr)
    print("  POPEK_DEBUG=1 in the environment shows where", file=sys.stderr)
    return INTERNAL


def refusal(error: Refused) -> int:
    """The exit code of a refused monitor: what the verdict forbids is a finding."""
    if error.inconclusive:
        return INCONCLUSIVE
    return FINDINGS if error.diagnostic.code == "PG530" else USAGE


class Interruptible(typer.Typer):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with interruptible():
            return super().__call__(*args, **kwargs)


app = Interruptible(
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 as expected, 1 findings, 2 usage or a bad spec, 3 inconclusive, 70 internal error, "
    "130 interrupted.",
)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"popek {version('popek')}")
        except PackageNotFoundError:
            print("popek 0+source")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Prove whether an instruction set can be virtualized, in the sense of Popek and Goldberg (1974)."""


__all__ = ["PopekError", "app"]
