/* A JSON parser and printer (RFC 8259, integers only): a document is read, queried, printed and read again. */
#include "tiny.h"

enum kind { NUL, FALSE, TRUE, NUMBER, STRING, ARRAY, OBJECT };
struct value {
  enum kind kind;
  i64 number;
  char *text;         /* of a string */
  struct value *items; /* first item of an array or object */
  char *key;          /* in an object */
  struct value *next;
};

static const char *at;

static void fail(const char *what) {
  printf("bad JSON: %s at \"%c\"\n", what, *at);
  exit(1);
}

static void space(void) {
  while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
}

static int hex(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

static char *string(void) {
  char *to = malloc(strlen(at) + 1), *start = to;
  if (*at++ != '"') fail("a string");
  while (*at != '"') {
    if (!*at) fail("the end of a string");
    if (*at != '\\') {
      *to++ = *at++;
      continue;
    }
    at++;
    switch (*at++) {
      case 'n': *to++ = '\n'; break;
      case 't': *to++ = '\t'; break;
      case 'u': {
        int code = hex(at[0]) << 12 | hex(at[1]) << 8 | hex(at[2]) << 4 | hex(at[3]);
        at += 4;
        if (code < 0x80) {
          *to++ = (char)code;
        } else if (code < 0x800) {
          *to++ = (char)(0xC0 | code >> 6), *to++ = (char)(0x80 | (code & 63));
        } else {
          *to++ = (char)(0xE0 | code >> 12), *to++ = (char)(0x80 | (code >> 6 & 63)), *to++ = (char)(0x80 | (code & 63));
        }
        break;
      }
      default: *to++ = at[-1];
    }
  }
  at++;
  *to = 0;
  return start;
}

static struct value *value(void) {
  struct value *v = malloc(sizeof *v);
  memset(v, 0, sizeof *v);
  space();
  if (*at == '"') {
    v->kind = STRING;
    v->text = string();
  } else if (*at == '[' || *at == '{') {
    char close = *at == '[' ? ']' : '}';
    struct value **last = &v->items;
    v->kind = *at++ == '[' ? ARRAY : OBJECT;
    space();
    while (*at != close) {
      char *key = NULL;
      if (v->kind == OBJECT) {
        space();
        key = string();
        space();
        if (*at++ != ':') fail("a colon");
      }
      *last = value();
      (*last)->key = key;
      last = &(*last)->next;
      space();
      if (*at == ',') {
        at++;
        space();
      } else if (*at != close) {
        fail("a comma");
      }
    }
    at++;
  } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
    int negative = *at == '-';
    v->kind = NUMBER;
    at += negative;
    while (*at >= '0' && *at <= '9') v->number = v->number * 10 + *at++ - '0';
    if (negative) v->number = -v->number;
  } else if (!strncmp(at, "true", 4)) {
    v->kind = TRUE, at += 4;
  } else if (!strncmp(at, "false", 5)) {
    v->kind = FALSE, at += 5;
  } else if (!strncmp(at, "null", 4)) {
    at += 4;
  } else {
    fail("a value");
  }
  return v;
}

static char *out;

static void emit(const char *s) {
  while (*s) *out++ = *s++;
}

static void quoted(const char *s) {
  *out++ = '"';
  for (; *s; s++) {
    if (*s == '"' || *s == '\\') *out++ = '\\';
    if (*s == '\n') {
      emit("\\n");
    } else {
      *out++ = *s;
    }
  }
  *out++ = '"';
}

static void integer(i64 n) {
  char digits[24];
  int count = 0;
  u64 v = n < 0 ? -(u64)n : (u64)n;
  if (n < 0) *out++ = '-';
  do {
    digits[count++] = (char)('0' + v % 10);
    v /= 10;
  } while (v);
  while (count) *out++ = digits[--count];
}

static void print(const struct value *v) {
  switch (v->kind) {
    case NUL: emit("null"); break;
    case FALSE: emit("false"); break;
    case TRUE: emit("true"); break;
    case NUMBER: integer(v->number); break;
    case STRING: quoted(v->text); break;
    default:
      *out++ = v->kind == ARRAY ? '[' : '{';
      for (const struct value *i = v->items; i; i = i->next) {
        if (v->kind == OBJECT) {
          quoted(i->key);
          *out++ = ':';
        }
        print(i);
        if (i->next) *out++ = ',';
      }
      *out++ = v->kind == ARRAY ? ']' : '}';
  }
}

static void drop(struct value *v) {
  while (v) {
    struct value *next = v->next;
    drop(v->items);
    free(v->text);
    free(v->key);
    free(v);
    v = next;
  }
}

static i64 sum(const struct value *v) {
  i64 total = v->kind == NUMBER ? v->number : 0;
  for (const struct value *i = v->items; i; i = i->next) total += sum(i);
  return total;
}

static const char document[] =
    "{ \"machines\": [ {\"name\": \"s/370\", \"year\": 1970, \"bits\": 32, \"virtual\": true},\n"
    "  {\"name\": \"pdp-10\", \"year\": 1966, \"bits\": 36, \"virtual\": false} ],\n"
    "  \"text\": \"tab\\tquote\\\" caf\\u00e9 \\u2200\", \"empty\": [], \"nothing\": null, \"deep\": [[[[-17]]]] }";

int main(void) {
  char *first = malloc(1000), *second = malloc(1000);
  for (int round = 0; round < SCALE; round++) {
    at = document;
    struct value *v = value();
    out = first;
    print(v);
    *out = 0;
    if (!round) printf("%s\nsum %ld\n", first, sum(v));
    drop(v);
    at = first;
    v = value();
    out = second;
    print(v);
    *out = 0;
    drop(v);
    if (strcmp(first, second)) {
      puts("printing and reading differ");
      return 1;
    }
  }
  puts("the same again");
  return 0;
}
