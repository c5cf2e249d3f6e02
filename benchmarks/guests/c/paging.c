/* Sv39: every combination of rights, read, written and executed from supervisor and user mode, with SUM and MXR; superpages,
   remapping, addresses that are not canonical.  A and D are set everywhere, since implementations may set them or fault. */
#include "tiny.h"

enum { V = 1, R = 2, W = 4, X = 8, U = 16, A = 64, D = 128 };
#define PAGE 4096ul
#define WINDOW 0x40000000ul /* the pages under test */
#define ALIAS 0x40000000ul  /* user mode sees memory so much higher */
#define MPP (3ul << 11)
#define SUM (1ul << 18)
#define MXR (1ul << 19)

static u64 root[512] __attribute__((aligned(4096))), middle[512] __attribute__((aligned(4096)));
static u64 leaf[512] __attribute__((aligned(4096)));
static u32 pages[2][1024] __attribute__((aligned(4096)));
static u64 trap_stack[256] __attribute__((aligned(16)));
__attribute__((used)) u64 back[16];
static volatile u64 fault;

/* Returns where to go on: past the instruction that faulted, or, for a fetch, to the return address. */
__attribute__((used)) u64 handle(u64 cause, u64 pc, u64 ra) {
  fault = cause;
  if (cause == 12) return ra;
  u64 at = pc >= 0xC0000000ul ? pc - ALIAS : pc;
  return pc + ((*(u16 *)at & 3) == 3 ? 4 : 2);
}

__asm__(
    ".balign 4\nentry:\n csrrw sp, mscratch, sp\n addi sp, sp, -144\n"
    " sd ra, 0(sp)\n sd t0, 8(sp)\n sd t1, 16(sp)\n sd t2, 24(sp)\n sd a0, 32(sp)\n sd a1, 40(sp)\n sd a2, 48(sp)\n"
    " sd a3, 56(sp)\n sd a4, 64(sp)\n sd a5, 72(sp)\n sd a6, 80(sp)\n sd a7, 88(sp)\n sd t3, 96(sp)\n sd t4, 104(sp)\n"
    " sd t5, 112(sp)\n sd t6, 120(sp)\n csrr a0, mcause\n csrr a1, mepc\n mv a2, ra\n"
    " addi t0, a0, -8\n sltiu t0, t0, 2\n bnez t0, leave\n call handle\n csrw mepc, a0\n"
    " ld ra, 0(sp)\n ld t0, 8(sp)\n ld t1, 16(sp)\n ld t2, 24(sp)\n ld a0, 32(sp)\n ld a1, 40(sp)\n ld a2, 48(sp)\n"
    " ld a3, 56(sp)\n ld a4, 64(sp)\n ld a5, 72(sp)\n ld a6, 80(sp)\n ld a7, 88(sp)\n ld t3, 96(sp)\n ld t4, 104(sp)\n"
    " ld t5, 112(sp)\n ld t6, 120(sp)\n addi sp, sp, 144\n csrrw sp, mscratch, sp\n mret\n"
    /* a call from the lower mode: back to the caller of enter, in machine mode, with the lower mode's a0 */
    "leave:\n ld a0, 32(sp)\n addi sp, sp, 144\n csrw mscratch, sp\n la t0, back\n"
    " ld ra, 0(t0)\n ld sp, 8(t0)\n ld s0, 16(t0)\n ld s1, 24(t0)\n ld s2, 32(t0)\n ld s3, 40(t0)\n ld s4, 48(t0)\n"
    " ld s5, 56(t0)\n ld s6, 64(t0)\n ld s7, 72(t0)\n ld s8, 80(t0)\n ld s9, 88(t0)\n ld s10, 96(t0)\n ld s11, 104(t0)\n ret\n"
    /* enter(function, offset of its addresses, kind, address): runs it in the mode of MPP */
    "enter:\n la t0, back\n sd ra, 0(t0)\n sd sp, 8(t0)\n sd s0, 16(t0)\n sd s1, 24(t0)\n sd s2, 32(t0)\n sd s3, 40(t0)\n"
    " sd s4, 48(t0)\n sd s5, 56(t0)\n sd s6, 64(t0)\n sd s7, 72(t0)\n sd s8, 80(t0)\n sd s9, 88(t0)\n sd s10, 96(t0)\n"
    " sd s11, 104(t0)\n add a0, a0, a1\n csrw mepc, a0\n add sp, sp, a1\n mv a0, a2\n mv a1, a3\n mret\n");
extern char entry[];
u64 enter(void (*function)(u64, u64), u64 offset, u64 kind, u64 address);

static void access(u64 kind, u64 address) {
  u64 value = 0;
  if (kind == 0) {
    __asm__ volatile("lw %0, 0(%1)" : "=r"(value) : "r"(address), "0"(value) : "memory");
  } else if (kind == 1) {
    __asm__ volatile("sw %0, 4(%1)" ::"r"(kind), "r"(address) : "memory");
  } else {
    __asm__ volatile("jalr %0" ::"r"(address) : "ra", "memory");
  }
  register u64 a0 __asm__("a0") = value;
  __asm__ volatile("ecall" ::"r"(a0) : "memory");
  for (;;) {
  }
}

/* What an access from a mode comes to: the cause of its fault, or 0. */
static u64 outcome(u64 mode, u64 extra, u64 kind, u64 address, u64 *value) {
  u64 clear = MPP | SUM | MXR, set = mode << 11 | extra;
  __asm__ volatile("csrc mstatus, %0\n csrs mstatus, %1\n sfence.vma" ::"r"(clear), "r"(set) : "memory");
  fault = 0;
  u64 found = enter(access, mode ? 0 : ALIAS, kind, address);
  if (value) *value = found & 0xFFFFFFFF;
  return fault;
}

static char letter(u64 cause) { return cause == 0 ? '+' : cause == 12 ? 'x' : cause == 13 ? 'r' : cause == 15 ? 'w' : '?'; }

static u64 entry_of(const void *page, u64 flags) { return (u64)page >> 12 << 10 | flags; }

int main(void) {
  u64 stack = (u64)(trap_stack + 256), mode = 8ul << 60 | (u64)root >> 12;
  __asm__ volatile("csrw mtvec, %0\n csrw mscratch, %1" ::"r"(entry), "r"(stack));
  __asm__ volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" ::"r"(~0ul >> 10), "r"(0x1Ful));
  root[0] = entry_of((void *)0, V | R | W | A | D);
  root[1] = entry_of(middle, V);
  root[2] = entry_of((void *)0x80000000ul, V | R | W | X | A | D);
  root[3] = entry_of((void *)0x80000000ul, V | R | W | X | U | A | D);
  middle[0] = entry_of(leaf, V);
  for (int p = 0; p < 2; p++)
    for (int i = 0; i < 1024; i++) pages[p][i] = 0x80828082; /* c.jr ra */
  __asm__ volatile("csrw satp, %0\n sfence.vma" ::"r"(mode) : "memory");

  static const struct {
    const char *name;
    u64 mode, extra;
  } modes[] = {{"S", 1, 0}, {"S, SUM", 1, SUM}, {"S, MXR", 1, MXR}, {"U", 0, 0}, {"U, MXR", 0, MXR}};
  printf("%10s", "");
  for (u64 m = 0; m < sizeof modes / sizeof *modes; m++) printf("%8s", modes[m].name);
  putchar('\n');
  for (u64 rights = 0; rights < 16; rights++) {
    leaf[rights] = entry_of(pages[0], V | A | D | rights << 1);
    if (!(rights & 7)) leaf[rights] = entry_of(pages[0], V | U * (rights >> 3)); /* a pointer, one level too deep */
    printf("%5s%c%c%c%c%c", "", rights & 1 ? 'R' : '-', rights & 2 ? 'W' : '-', rights & 4 ? 'X' : '-', rights & 8 ? 'U' : '-', ' ');
    for (u64 m = 0; m < sizeof modes / sizeof *modes; m++) {
      printf("%5s", "");
      for (u64 kind = 0; kind < 3; kind++)
        putchar(letter(outcome(modes[m].mode, modes[m].extra, kind, WINDOW + rights * PAGE, NULL)));
    }
    putchar('\n');
  }

  u64 value;
  leaf[20] = entry_of(pages[0], V | R | A | D);
  pages[0][0] = 1111, pages[1][0] = 2222;
  outcome(1, 0, 0, WINDOW + 20 * PAGE, &value);
  printf("mapped %lu", value);
  leaf[20] = entry_of(pages[1], V | R | A | D);
  outcome(1, 0, 0, WINDOW + 20 * PAGE, &value);
  printf(", remapped %lu\n", value);

  middle[1] = entry_of((void *)0x80000000ul, V | R | A | D);
  outcome(1, 0, 0, WINDOW + 0x200000 + ((u64)pages[1] & 0x1FFFFF), &value);
  printf("superpage %lu", value);
  middle[2] = entry_of((void *)0x80001000ul, V | R | A | D);
  printf(", misaligned %c\n", letter(outcome(1, 0, 0, WINDOW + 0x400000, NULL)));
  printf("not canonical %c%c%c", letter(outcome(1, 0, 0, 1ul << 39 | WINDOW, NULL)), letter(outcome(1, 0, 1, 1ul << 63, NULL)),
         letter(outcome(1, 0, 2, 1ul << 38, NULL)));
  printf(", not mapped %c%c%c\n", letter(outcome(0, 0, 0, 0x140000000, NULL)), letter(outcome(1, 0, 1, WINDOW + 0x800000, NULL)),
         letter(outcome(0, 0, 2, WINDOW + 100 * PAGE, NULL)));
  u64 total = 0;
  for (int i = 0; i < 50 * SCALE; i++) {
    leaf[30] = entry_of(pages[i & 1], V | R | U | A | D);
    pages[i & 1][0] = (u32)i;
    total += outcome((u64)(i & 1), SUM, 0, WINDOW + 30 * PAGE, &value);
    total = total * 31 + value;
  }
  printf("again and again %lx\n", total);
  return 0;
}
