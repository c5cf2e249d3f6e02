/* The C library of our bare-metal programs: a 16550 UART, a finisher, and what little the programs need. */
#ifndef TINY_H
#define TINY_H
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef int i32;
typedef long i64;
typedef u64 size_t;
#define NULL ((void *)0)
#ifndef SCALE
#define SCALE 1
#endif

void putchar(int c);
void puts(const char *s);
/* %c %s %d %u %x %ld %lu %lx, with a width and leading zeros */
void printf(const char *format, ...);
void exit(int code) __attribute__((noreturn));
void *malloc(size_t n);
void free(void *p);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
u64 random64(u64 *state);
#endif
