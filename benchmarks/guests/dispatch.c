/* Guest (d): control-heavy: a bytecode interpreter by a jump table, another by calls through pointers, recursion.
   `PARTS` 1, 2 and 4 picks them. */
#include "guest.h"
#ifndef SCALE
#define SCALE 100
#endif
#ifndef PARTS
#define PARTS 7
#endif
enum { PUSH, ADD, SUB, XOR, SHL, DUP, SWAP, LOAD, STORE, JNZ, DEC, HALT };
/* A loop of 1000 rounds over two variables: x = (x << 1) ^ (x + y); y = y - x. */
static u8 program[] = {
  PUSH, 250, PUSH, 4, SHL, STORE, 2,
  LOAD, 0, DUP, PUSH, 1, SHL, SWAP, LOAD, 1, ADD, XOR, STORE, 0,
  LOAD, 1, LOAD, 0, SUB, STORE, 1,
  LOAD, 2, DEC, DUP, STORE, 2, JNZ, 7, HALT };
static u64 vars[4];

NOINLINE u64 table(const u8 *p){
  u64 s[16]; int sp=0; const u8 *pc=p;
  for(;;) switch(*pc++){
    case PUSH: s[sp++]=*pc++; break;
    case ADD: sp--; s[sp-1]+=s[sp]; break;
    case SUB: sp--; s[sp-1]-=s[sp]; break;
    case XOR: sp--; s[sp-1]^=s[sp]; break;
    case SHL: sp--; s[sp-1]<<=s[sp]&63; break;
    case DUP: s[sp]=s[sp-1]; sp++; break;
    case SWAP: { u64 t=s[sp-1]; s[sp-1]=s[sp-2]; s[sp-2]=t; break; }
    case LOAD: s[sp++]=vars[*pc++]; break;
    case STORE: vars[*pc++]=s[--sp]; break;
    case JNZ: if (s[--sp]) pc=p+*pc; else pc++; break;
    case DEC: s[sp-1]--; break;
    default: return vars[0]^vars[1];
  }
}

struct vm { const u8 *p, *pc; int sp; u64 s[16]; };
typedef int (*op)(struct vm *);
static int o_push(struct vm *v){ v->s[v->sp++]=*v->pc++; return 1; }
static int o_add(struct vm *v){ v->sp--; v->s[v->sp-1]+=v->s[v->sp]; return 1; }
static int o_sub(struct vm *v){ v->sp--; v->s[v->sp-1]-=v->s[v->sp]; return 1; }
static int o_xor(struct vm *v){ v->sp--; v->s[v->sp-1]^=v->s[v->sp]; return 1; }
static int o_shl(struct vm *v){ v->sp--; v->s[v->sp-1]<<=v->s[v->sp]&63; return 1; }
static int o_dup(struct vm *v){ v->s[v->sp]=v->s[v->sp-1]; v->sp++; return 1; }
static int o_swap(struct vm *v){ u64 t=v->s[v->sp-1]; v->s[v->sp-1]=v->s[v->sp-2]; v->s[v->sp-2]=t; return 1; }
static int o_load(struct vm *v){ v->s[v->sp++]=vars[*v->pc++]; return 1; }
static int o_store(struct vm *v){ vars[*v->pc++]=v->s[--v->sp]; return 1; }
static int o_jnz(struct vm *v){ if (v->s[--v->sp]) v->pc=v->p+*v->pc; else v->pc++; return 1; }
static int o_dec(struct vm *v){ v->s[v->sp-1]--; return 1; }
static int o_halt(struct vm *v){ (void)v; return 0; }
static op const ops[]={ o_push,o_add,o_sub,o_xor,o_shl,o_dup,o_swap,o_load,o_store,o_jnz,o_dec,o_halt };
NOINLINE u64 calls(const u8 *p){
  struct vm v; v.p=v.pc=p; v.sp=0;
  while (ops[*v.pc++](&v)) {}
  return vars[0]^vars[1];
}

NOINLINE u64 fib(u64 n){ return n<2 ? n : fib(n-1)+fib(n-2); }
NOINLINE u64 ackermann(u64 m, u64 n){ return m==0 ? n+1 : n==0 ? ackermann(m-1,1) : ackermann(m-1,ackermann(m,n-1)); }

u64 bench_main(void){
  u64 sum=0;
  vars[0]=1; vars[1]=3;
  for (int r=0;r<SCALE;r++){
    if (PARTS&1) sum += table(program);
    if (PARTS&2) sum += calls(program);
    if (PARTS&4) { sum += fib(15+(r&3)); sum ^= ackermann(2, 30+(r&7)); }
  }
  return sum;
}
