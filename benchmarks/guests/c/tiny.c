#include "tiny.h"
#include <stdarg.h>

#define UART ((volatile u8 *)0x10000000)
#define FINISHER ((volatile u32 *)0x100000)

void putchar(int c) {
  while (!(UART[5] & 0x20)) {
  }
  UART[0] = (u8)c;
}

static void text(const char *s) {
  while (*s) putchar(*s++);
}

void puts(const char *s) {
  text(s);
  putchar('\n');
}

static void number(u64 v, unsigned base, int width, char pad, int negative) {
  char digits[24];
  int n = 0;
  do {
    digits[n++] = "0123456789abcdef"[v % base];
    v /= base;
  } while (v);
  if (negative) digits[n++] = '-';
  while (width-- > n) putchar(pad);
  while (n) putchar(digits[--n]);
}

void printf(const char *format, ...) {
  va_list args;
  va_start(args, format);
  for (; *format; format++) {
    if (*format != '%') {
      putchar(*format);
      continue;
    }
    char pad = ' ';
    int width = 0, wide = 0;
    if (*++format == '0') pad = '0';
    while (*format >= '0' && *format <= '9') width = width * 10 + *format++ - '0';
    if (*format == 'l') wide = 1, format++;
    switch (*format) {
      case 'c': putchar(va_arg(args, int)); break;
      case 's': {
        const char *s = va_arg(args, const char *);
        for (int n = (int)strlen(s); n < width; n++) putchar(' ');
        text(s);
        break;
      }
      case 'd': {
        i64 v = wide ? va_arg(args, i64) : va_arg(args, i32);
        number(v < 0 ? -(u64)v : (u64)v, 10, width, pad, v < 0);
        break;
      }
      case 'u': number(wide ? va_arg(args, u64) : va_arg(args, u32), 10, width, pad, 0); break;
      case 'x': number(wide ? va_arg(args, u64) : va_arg(args, u32), 16, width, pad, 0); break;
      default: putchar(*format);
    }
  }
  va_end(args);
}

void exit(int code) {
  *FINISHER = code ? ((u32)code << 16 | 0x3333) : 0x5555;
  for (;;) {
  }
}

/* A first-fit allocator; neighbours that are free are joined when they are passed. */
struct block {
  size_t size;
  struct block *next;
  int used;
};
extern char _heap_start[], _heap_end[];
static struct block *blocks;

void *malloc(size_t n) {
  n = (n + 15) & ~15ul;
  if (!blocks) {
    blocks = (struct block *)_heap_start;
    *blocks = (struct block){(size_t)(_heap_end - _heap_start) - sizeof *blocks, NULL, 0};
  }
  for (struct block *b = blocks; b; b = b->next) {
    while (!b->used && b->next && !b->next->used) {
      b->size += sizeof *b + b->next->size;
      b->next = b->next->next;
    }
    if (b->used || b->size < n) continue;
    if (b->size >= n + sizeof *b + 16) {
      struct block *rest = (struct block *)((char *)(b + 1) + n);
      *rest = (struct block){b->size - n - sizeof *b, b->next, 0};
      b->next = rest;
      b->size = n;
    }
    b->used = 1;
    return b + 1;
  }
  puts("out of memory");
  exit(98);
}

void free(void *p) {
  if (p) ((struct block *)p - 1)->used = 0;
}

void *memcpy(void *to, const void *from, size_t n) {
  u8 *t = to;
  const u8 *f = from;
  while (n--) *t++ = *f++;
  return to;
}

void *memset(void *to, int c, size_t n) {
  u8 *t = to;
  while (n--) *t++ = (u8)c;
  return to;
}

int memcmp(const void *a, const void *b, size_t n) {
  const u8 *x = a, *y = b;
  for (; n; n--, x++, y++)
    if (*x != *y) return *x - *y;
  return 0;
}

size_t strlen(const char *s) {
  size_t n = 0;
  while (s[n]) n++;
  return n;
}

int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n) {
  for (; n && *a && *a == *b; n--) a++, b++;
  return n ? (u8)*a - (u8)*b : 0;
}

/* xorshift64* */
u64 random64(u64 *state) {
  u64 x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * 0x2545F4914F6CDD1Dul;
}
