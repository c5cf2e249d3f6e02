/* Regular expressions with . * + ? | ( ) [ ] by derivatives of a compiled program (Thompson's construction). */
#include "tiny.h"

enum op { CHAR, ANY, SET, SPLIT, JUMP, MATCH };
struct instruction {
  enum op op;
  int a, b;
  u64 set[2];
};
static struct instruction code[200];
static int size;
static const char *at;

static int emit(enum op op, int a, int b) {
  code[size].op = op, code[size].a = a, code[size].b = b;
  return size++;
}

static void shift(int from, int by) {
  for (int i = size - 1; i >= from; i--) {
    code[i + by] = code[i];
    if (code[i + by].op == SPLIT || code[i + by].op == JUMP) {
      if (code[i + by].a >= from) code[i + by].a += by;
      if (code[i + by].b >= from) code[i + by].b += by;
    }
  }
  size += by;
}

static void alternatives(void);

static void atom(void) {
  if (*at == '(') {
    at++;
    alternatives();
    at++;
  } else if (*at == '.') {
    at++;
    emit(ANY, 0, 0);
  } else if (*at == '[') {
    int i = emit(SET, 0, 0);
    code[i].set[0] = code[i].set[1] = 0;
    for (at++; *at != ']'; at++) {
      char high = at[1] == '-' ? at[2] : *at;
      for (char c = *at; c <= high; c++) code[i].set[c >> 6] |= 1ul << (c & 63);
      if (at[1] == '-') at += 2;
    }
    at++;
  } else {
    emit(CHAR, *at++, 0);
  }
}

static void repeated(void) {
  int start = size;
  atom();
  if (*at == '*') {
    shift(start, 1);
    code[start] = (struct instruction){SPLIT, start + 1, size + 1, {0, 0}};
    emit(JUMP, start, 0);
    at++;
  } else if (*at == '+') {
    emit(SPLIT, start, size + 1);
    at++;
  } else if (*at == '?') {
    shift(start, 1);
    code[start] = (struct instruction){SPLIT, start + 1, size, {0, 0}};
    at++;
  }
}

static void alternatives(void) {
  int start = size;
  while (*at && *at != '|' && *at != ')') repeated();
  if (*at != '|') return;
  at++;
  shift(start, 1);
  int jump = emit(JUMP, 0, 0);
  code[start] = (struct instruction){SPLIT, start + 1, size, {0, 0}};
  alternatives();
  code[jump].a = size;
}

static int states[2][200], counts[2], stamp[200], now_stamp;

static void add(int list, int state) {
  if (stamp[state] == now_stamp) return;
  stamp[state] = now_stamp;
  if (code[state].op == JUMP) {
    add(list, code[state].a);
  } else if (code[state].op == SPLIT) {
    add(list, code[state].a);
    add(list, code[state].b);
  } else {
    states[list][counts[list]++] = state;
  }
}

/* The length of the longest match at the beginning; -1 for none. */
static int match(const char *text) {
  int longest = -1, now = 0;
  counts[0] = 0;
  now_stamp++;
  add(0, 0);
  for (int i = 0;; i++) {
    int next = !now;
    counts[next] = 0;
    now_stamp++;
    for (int k = 0; k < counts[now]; k++) {
      struct instruction *s = &code[states[now][k]];
      char c = text[i];
      if (s->op == MATCH) longest = i;
      if (!c) continue;
      if ((s->op == CHAR && s->a == c) || s->op == ANY || (s->op == SET && s->set[c >> 6 & 1] >> (c & 63) & 1))
        add(next, states[now][k] + 1);
    }
    if (!text[i] || !counts[next]) return longest;
    now = next;
  }
}

int main(void) {
  static const char *const cases[][2] = {
      {"abc", "abcd"}, {"a*b", "aaab"}, {"(a|b)*c", "abbac"}, {"[a-z]+@[a-z]+[.](com|org)", "who@example.org!"},
      {"x?y", "y"}, {"(ab)+", "ababa"}, {".*z", "xyzxyzxy"}, {"[0-9]+|[a-f]+", "cafe7"}, {"a+b", "ac"},
      {"(a?)(a?)(a?)(a?)(a?)(a?)(a?)(a?)aaaaaaaa", "aaaaaaaa"}, {"(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaa"}};
  for (int round = 0; round < SCALE; round++)
    for (u64 i = 0; i < sizeof cases / sizeof *cases; i++) {
      size = 0;
      at = cases[i][0];
      alternatives();
      emit(MATCH, 0, 0);
      memset(stamp, 0, sizeof stamp);
      now_stamp = 0;
      int n = match(cases[i][1]);
      if (!round) printf("%s on %s: %d\n", cases[i][0], cases[i][1], n);
    }
  return 0;
}
