"""Accesses of a region to the RAM that generated code reaches by itself, and those that share a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from analyzer import ir
from emulator.codegen.block import Group, HandOver, Member, Touch
from emulator.codegen.checked import Checked
from emulator.codegen.facts import affine, at_most, origin, shifted, summands, zero_test
from emulator.codegen.plan import LINE, SPAN
from emulator.codegen.values import LIKELY, OF_RAM, Value, ones


class Straight(Struct, frozen=True):
    """What a map comes to that leaves addresses as they are: those that it does not let pass lie outside of the bank,
    or have a bit under `low`.  `width`: of the addresses."""

    low: int
    width: int


class Banked(Checked):
    """Code that reads and writes the bank."""

    nofold = 0  # maps that are being evaluated in place
    stored = False

    # -- accesses that share a check -----------------------------------------------------------------------------------

    def grouped(
        self, address: Value, width: int, units: int, low: int, value: Value | None, view: int | None, most: int = 0
    ) -> Member | None:
        """The place of an access in a group; notes the access."""
        here = (self.index, self.ordinal)
        self.ordinal += 1
        counted = affine(self.text, address, width)
        if counted is None or self.arms:
            return None
        root, away = counted
        self.block.touches.append(Touch(here, root, away, units, low, value is not None, view, most))
        group = self.region.groups.get((self.block.pc, *here))
        return None if group is None else Member(group, root, away)

    def _base(self, member: Member) -> Value:
        """The first address of a group."""
        root, before, width = member.root
        start = self.binary("add", root, member.group.lo & ones(before), before)
        return self.extend(self.fit(start, before, width), width, 64)

    def near(self, member: Member, first: Callable[[Group, Value], str]) -> str:
        """The host address of an access of a group.  Where the group is met first, it is checked: `first` does that,
        and gives the host address of where the group begins."""
        group = member.group
        host = self.hosts.get(group)
        if host is None:
            host = self.hosts[group] = first(group, self._base(member))
        distance = (member.away - group.lo) * self.plan.bank.cell
        return self.gep(host, distance)

    def _flat(self, group: Group, base: Value) -> str:
        span = group.hi - group.lo
        lines = (span + (1 << LINE) - 1 >> LINE) + 1 if group.stores else 0
        return self._plain(base, span, group.most, group.low, lines)

    def gep(self, base: str, offset: int) -> str:
        return base if not offset else self.text.let(f"getelementptr i8, ptr {base}, i64 {offset}")

    def physical(self, space: ir.Memory, address: Value, bits: int, table: bool, value: Value | None) -> Value:
        if not self._ours(space, bits):
            raise HandOver("other memory")
        if self.nofold:
            raise HandOver("a map that reads memory")
        wide, low, width = self._merged(address, space.address_width)
        return self.located(space, wide, bits, low, width, self._within(self.extend(wide, width, 64)), value)

    def _ours(self, space: ir.Memory, bits: int) -> bool:
        bank = self.plan.bank
        return bits <= 64 and bank.memory == space.name and bank.size >= bits // space.unit

    def located(
        self,
        space: ir.Memory,
        wide: Value,
        bits: int,
        low: int,
        width: int,
        within: Mapping[Value, int],
        value: Value | None,
    ) -> Value:
        """An access at an address of `width` bits, whose bits under `low` must be 0.  `within` are conditions that hold
        up to these distances from the bank's beginning."""
        bank, units = self.plan.bank, bits // space.unit
        most = min([bank.size - units, *within.values()])
        member = self.grouped(wide, width, units, low, value, None, most)
        if member is not None:
            first = most - (member.away - member.group.lo)
            self.requires += within if first < member.group.most else ()
            return self.touch(self.near(member, self._flat), bits, space.unit, value)
        host = self._plain(self.extend(wide, width, 64), units, most, low, 0 if value is None else 1)
        return self.touch(host, bits, space.unit, value)

    def _plain(self, address: Value, units: int, most: int, low: int, lines: int) -> str:
        """The host address of units of the bank, at most `most` from its beginning; the bits of the address under `low`
        must be 0.  Where they are written, there must be no marks on the `lines` lines from the first unit on: nearly
        always they are among the units that are known to have none."""
        bank = self.plan.bank
        offset = self.binary("sub", address, bank.base, 64)
        self.check()
        if not lines:
            self.require(self.inside(offset, max(most + 1, 0), low))
            self.check()
            return self._host(address, offset)
        clean, near, other = (self.text.fresh(stem) for stem in ("clean", "near", "other"))
        away = self.binary("sub", address, self.word("clean", "i64"), 64)
        close = self.compare("ult", away, self._room(offset, most, most < bank.size - units), 64)
        self.text.do(f"br i1 {close}, label %{near if low else clean}, label %{other}{LIKELY}")
        if low:
            self.text.label(near)
            aligned = self.compare("eq", self.binary("and", address, low, 64), 0, 64)
            self.text.do(f"br i1 {aligned}, label %{clean}, label %{other}{LIKELY}")
        self.text.label(other)
        self.require(self.inside(offset, max(most + 1, 0), low))
        self.check()
        first = self.binary("lshr", offset, LINE, 64)
        at = self.text.let(f"getelementptr i8, ptr {self._from_state('marks', 'ptr')}, i64 {first}")
        marks = self.text.let(f"load i{8 * lines}, ptr {at}, align 1")
        self.require(self.text.let(f"icmp eq i{8 * lines} {marks}, 0"))
        self.check()
        self.text.do(f"br label %{clean}")
        self.text.label(clean)
        if not self.tight:
            return self._host(address, offset)
        self.region.words["clean"] = "i64"
        self.region.free = True
        return self.text.let(f"getelementptr i8, ptr %free, i64 {self.scaled(away)}")

    def _room(self, offset: Value, most: int, bounded: bool) -> Value:
        """So many units from the first without marks on accesses may begin in; if they are `bounded`, no more than
        `most` from the bank's beginning.  Loops have what both come to beside each other, for nearly the same bounds
        once."""
        if not bounded:
            return self.word("room", "i64")
        if self.block.pc not in self.region.rounds or most < SPAN:
            self.require(self.compare("ule", offset, max(most, 0), 64))
            self.check()
            return self.word("room", "i64")
        self.region.words |= {"clean": "i64", "room": "i64"}
        end = most // SPAN * SPAN
        self.region.rooms.add(end)
        return f"%room.{end}"

    @property
    def tight(self) -> bool:
        """Whether the block is a loop by itself."""
        return self.region.rounds.get(self.block.pc) == 1

    def scaled(self, units: Value) -> Value:
        """The bytes of the host that units of the bank take."""
        return self.binary("shl", units, self.plan.bank.cell.bit_length() - 1, 64)

    def _host(self, address: Value, offset: Value) -> str:
        """Where units of the bank lie.  If their address is the sum of one that no loop changes and another value, so
        is the pointer: then check and access do not wait for each other."""
        both = summands(self.text, address)
        if both is not None and self.tight:
            steady = {value for key, value in self.regs.items() if key not in self.region.changing}
            for start, away in (both, both[::-1]):
                if start in steady:
                    first = self.scaled(self.binary("sub", start, self.plan.bank.base, 64))
                    there = self.text.pure(f"getelementptr i8, ptr %ram, i64 {first}")
                    units: Value = away
                    if (shift := shifted(self.text, away)) is not None:
                        units = self.binary("shl", self._anew(shift[0]), shift[1], 64)
                    return self.text.let(f"getelementptr i8, ptr {there}, i64 {self.scaled(units)}")
        return self.text.let(f"getelementptr i8, ptr %ram, i64 {self.scaled(offset)}")

    def _anew(self, value: Value) -> Value:
        """The same value; LLVM takes it for another, and computes from it where that is asked."""
        return value if isinstance(value, int) else self.text.pure(f"call i64 @llvm.expect.i64(i64 {value}, i64 0)")

    def inside(self, offset: Value, most: int, low: int) -> Value:
        """Whether an offset is less than `most`, and its bits under `low` are 0; a mask for a power of two."""
        if not low:
            return self.compare("ult", offset, most, 64)
        size = most + low
        if self.tight and most and not size & size - 1:
            mask = ones(64) - (size - 1) | low
            return self.compare("eq", self.binary("and", self._anew(offset), mask, 64), 0, 64)
        n = low.bit_length()
        turned = self.text.pure(f"call i64 @llvm.fshr.i64(i64 {offset}, i64 {offset}, i64 {n})")
        return self.compare("ult", turned, most + low >> n, 64)

    def word(self, name: str, kind: str) -> str:
        """A word of the state, or of the caches, that does not change while a region runs; in a loop it is there
        already."""
        if self.block.pc in self.region.rounds:
            self.region.words[name] = kind
            return f"%{name}"
        return self._from_state(name, kind)

    def _from_state(self, name: str, kind: str) -> str:
        base, offset = self.region.place(name)
        if base != "st":
            base = self._from_state(base, "ptr")[1:]
        at = self.text.pure(f"getelementptr i8, ptr %{base}, i64 {offset}")
        return self.text.pure(f"load {kind}, ptr {at}")

    def _within(self, address: Value) -> dict[Value, int]:
        """Takes out what is required of the distance of an address from the bank's beginning, with the bounds."""
        offset = self.binary("sub", address, self.plan.bank.base, 64)
        found: dict[Value, int] = {}
        for cond in self.requires:
            bound = at_most(self.text, cond)
            if bound is not None and bound[0] == offset:
                found[cond] = bound[1]
        self.requires = [cond for cond in self.requires if cond not in found]
        return found

    def _merged(self, address: Value, width: int) -> tuple[Value, int, int]:
        """The address, a mask of low bits that must be 0, and the width of the address: what is required of single bits
        of it is taken over by the comparison with the bounds."""
        bank = self.plan.bank
        plain = self.extend(address, width, 64)
        if isinstance(address, int):
            return address, 0, width
        base, shown = origin(self.text, address) or (str(plain), 64)
        kept: list[Value] = []
        high = low = 0
        for cond in self.requires:
            test = zero_test(self.text, cond)
            if test is None or test[0] not in (base, str(address), str(plain)):
                kept.append(cond)
                continue
            bits = test[1]
            if bits & bits + 1 == 0:
                low |= bits
            elif bits & ones(width) == 0:
                high |= bits
            else:
                kept.append(cond)
        if shown < 64 and base != str(plain):  # cut off high bits: only if they are required to be 0
            missing = ones(64) & ~ones(shown)
            if high & missing != missing:
                return address, 0, width
            address, width = base, 64
        if bank.base & low or (high and bank.base + bank.size > high & -high):
            return address, 0, width
        self.requires = kept
        return address, low, width

    def straight(self, space: ir.Memory, address: Value, bits: int, below: Value) -> Straight | None:
        """What is left to check, if `below` is the same address and all that is required is about that."""
        if space.size is not None or not self._ours(space, bits):
            return None
        wide, low, width = self._merged(below, space.address_width)
        return Straight(low, width) if wide == address and not self.requires else None

    def touch(self, host: str, bits: int, unit: int, value: Value | None) -> Value:
        """Reads now, or writes at the end of the instruction."""
        if value is not None:
            self.pending.append((host, bits, unit, value))
            return 0
        if self.pending:
            raise HandOver("a load after a store")
        return host_load(self, host, bits, unit)

    def perform(self) -> None:
        """Writes what the instruction stores; there is no way back behind it."""
        self.check()
        for host, bits, unit, value in self.pending:
            host_store(self, host, bits, unit, value)
        if self.pending:
            self.pending = []
            self.stored = True


def host_load(code: Banked, host: str, bits: int, unit: int) -> Value:
    """Reads units of RAM as one number."""
    cell, big = code.plan.bank.cell, code.isa.endian == "big"
    if unit == 8 and bits in (8, 16, 32, 64):
        value: Value = code.text.let(f"load i{bits}, ptr {host}, align 1{OF_RAM}")
        if big and bits > 8:
            value = code.text.let(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
        return value
    count = bits // unit
    total: Value = 0
    for i in range(count):
        at = code.text.let(f"getelementptr i8, ptr {host}, i64 {i * cell}") if i else host
        part = code.text.let(f"load i{cell * 8}, ptr {at}, align 1{OF_RAM}")
        low = ((count - 1 - i) if big else i) * unit
        one = code.extend(code.fit(part, cell * 8, unit), unit, bits)
        total = code.binary("or", total, code.binary("shl", one, low, bits), bits)
    return total


def host_store(code: Banked, host: str, bits: int, unit: int, value: Value) -> None:
    """Writes a number to units of RAM."""
    cell, count, big = code.plan.bank.cell, bits // unit, code.isa.endian == "big"
    if unit == 8 and bits in (8, 16, 32, 64):
        if big and bits > 8:
            value = code.text.let(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
        code.text.do(f"store i{bits} {value}, ptr {host}, align 1{OF_RAM}")
        return
    for i in range(count):
        at = code.text.let(f"getelementptr i8, ptr {host}, i64 {i * cell}") if i else host
        low = ((count - 1 - i) if big else i) * unit
        part = code.extend(code.extract(value, bits, low + unit - 1, low), unit, cell * 8)
        code.text.do(f"store i{cell * 8} {part}, ptr {at}, align 1{OF_RAM}")
