/* Traps of all kinds in machine mode: illegal instructions, breakpoints, misaligned accesses, calls from user mode, the timer
   and software interrupts; and the same counted. */
#include "tiny.h"

static volatile u64 seen[16], interrupts[16];
static volatile u64 *const compare = (u64 *)0x2004000, *const now = (u64 *)0x200BFF8;
static volatile u32 *const software = (u32 *)0x2000000;

__attribute__((used)) u64 handle(u64 cause, u64 pc) {
  if (cause >> 63) {
    cause &= 15;
    interrupts[cause]++;
    if (cause == 7) *compare = ~0ul;
    if (cause == 3) *software = 0;
    return pc;
  }
  seen[cause & 15]++;
  if (cause == 8) { /* back to machine mode after the call */
    u64 mpp = 3ul << 11;
    __asm__ volatile("csrs mstatus, %0" ::"r"(mpp));
  }
  return pc + ((*(u16 *)pc & 3) == 3 ? 4 : 2);
}

/* Saves what a C function may change. */
__asm__(
    ".balign 4\nentry:\n addi sp, sp, -128\n"
    " sd ra, 0(sp)\n sd t0, 8(sp)\n sd t1, 16(sp)\n sd t2, 24(sp)\n sd a0, 32(sp)\n sd a1, 40(sp)\n sd a2, 48(sp)\n"
    " sd a3, 56(sp)\n sd a4, 64(sp)\n sd a5, 72(sp)\n sd a6, 80(sp)\n sd a7, 88(sp)\n sd t3, 96(sp)\n sd t4, 104(sp)\n"
    " sd t5, 112(sp)\n sd t6, 120(sp)\n csrr a0, mcause\n csrr a1, mepc\n call handle\n csrw mepc, a0\n"
    " ld ra, 0(sp)\n ld t0, 8(sp)\n ld t1, 16(sp)\n ld t2, 24(sp)\n ld a0, 32(sp)\n ld a1, 40(sp)\n ld a2, 48(sp)\n"
    " ld a3, 56(sp)\n ld a4, 64(sp)\n ld a5, 72(sp)\n ld a6, 80(sp)\n ld a7, 88(sp)\n ld t3, 96(sp)\n ld t4, 104(sp)\n"
    " ld t5, 112(sp)\n ld t6, 120(sp)\n addi sp, sp, 128\n mret\n");
extern char entry[];

static void user_call(void) { /* mret to user mode, ecall from there, and on in machine mode */
  u64 mpp = 3ul << 11, t;
  __asm__ volatile(
      "csrc mstatus, %1\n la %0, 1f\n csrw mepc, %0\n mret\n .balign 4\n1: ecall\n"
      : "=&r"(t)
      : "r"(mpp)
      : "memory");
}

int main(void) {
  *compare = ~0ul;
  __asm__ volatile("csrw mtvec, %0" ::"r"(entry));
  __asm__ volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" ::"r"(~0ul >> 10), "r"(0x1Ful));
  for (int i = 0; i < 3 * SCALE; i++) {
    __asm__ volatile(".4byte 0xC0001073"); /* csrrw x0, cycle, x0: read-only */
    __asm__ volatile(".2byte 0");
    __asm__ volatile("ebreak");
    __asm__ volatile("ecall");
    user_call();
  }
  u64 enabled = 1 << 7 | 1 << 3;
  __asm__ volatile("csrs mie, %0\n csrsi mstatus, 8" ::"r"(enabled));
  for (int i = 0; i < 2 * SCALE; i++) {
    u64 before = interrupts[3];
    *software = 1;
    while (interrupts[3] == before) {
    }
    before = interrupts[7];
    __asm__ volatile("csrci mstatus, 8");
    *compare = *now + 500;
    __asm__ volatile("wfi"); /* ends although interrupts are off */
    __asm__ volatile("csrsi mstatus, 8");
    while (interrupts[7] == before) {
    }
  }
  for (int i = 0; i < 16; i++)
    if (seen[i]) printf("exception %d: %lu\n", i, seen[i]);
  for (int i = 0; i < 16; i++)
    if (interrupts[i]) printf("interrupt %d: %lu\n", i, interrupts[i]);
  return 0;
}
