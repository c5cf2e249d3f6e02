/* In the manner of CoreMark (EEMBC): a linked list that is found in, sorted and reversed; a matrix; a state machine over
   text; and a CRC over all that they give.  Written anew; its figures are not CoreMarks. */
#include "tiny.h"

static u16 crc(u16 c, u16 data) {
  for (int i = 0; i < 16; i++, data >>= 1) {
    int bit = (data ^ c) & 1;
    c >>= 1;
    if (bit) c ^= 0xA001;
  }
  return c;
}

struct item {
  struct item *next;
  i32 index, data;
};

static struct item *merged(struct item *a, struct item *b, int by_index) {
  struct item head, *last = &head;
  while (a && b) {
    struct item **first = (by_index ? a->index <= b->index : a->data <= b->data) ? &a : &b;
    last->next = *first;
    last = *first;
    *first = last->next;
  }
  last->next = a ? a : b;
  return head.next;
}

static struct item *sorted(struct item *l, int by_index) {
  if (!l || !l->next) return l;
  struct item *slow = l, *fast = l->next;
  while (fast && fast->next) slow = slow->next, fast = fast->next->next;
  struct item *half = slow->next;
  slow->next = NULL;
  return merged(sorted(l, by_index), sorted(half, by_index), by_index);
}

static struct item *reversed(struct item *l) {
  struct item *done = NULL;
  while (l) {
    struct item *next = l->next;
    l->next = done;
    done = l;
    l = next;
  }
  return done;
}

static u16 lists(struct item *items, int n, i32 seed, u16 c) {
  for (int i = 0; i < n; i++) items[i] = (struct item){i + 1 < n ? &items[i + 1] : NULL, i, (i32)((i * 7919 + seed) & 0x3FF)};
  struct item *l = sorted(items, 0);
  for (struct item *i = l; i; i = i->next) c = crc(c, (u16)i->data);
  l = reversed(sorted(reversed(l), 1));
  i32 found = 0;
  for (int wanted = 0; wanted < 1024; wanted += 61)
    for (struct item *i = l; i; i = i->next)
      if (i->data == wanted) found += i->index;
  return crc(c, (u16)found);
}

#define N 8
static u16 matrices(i32 seed, u16 c) {
  static i32 a[N][N], b[N][N], m[N][N];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) a[i][j] = (seed * (i + 1) + j) % 127, b[i][j] = (i * N + j + seed) % 61;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      m[i][j] = 0;
      for (int k = 0; k < N; k++) m[i][j] += a[i][k] * b[k][j];
      c = crc(c, (u16)(m[i][j] >> 2 & 0xFF) + (u16)(m[i][j] >> 5 & 0x7F));
    }
  return c;
}

enum state { START, INTEGER, POINT, FRACTION, EXPONENT, SIGNED, SCIENTIFIC, INVALID, STATES };

static enum state step(enum state s, char c) {
  int digit = c >= '0' && c <= '9';
  switch (s) {
    case START: return digit || c == '+' || c == '-' ? INTEGER : c == '.' ? POINT : INVALID;
    case INTEGER: return digit ? INTEGER : c == '.' ? POINT : c == 'e' ? EXPONENT : INVALID;
    case POINT: return digit ? FRACTION : INVALID;
    case FRACTION: return digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case EXPONENT: return digit ? SCIENTIFIC : c == '+' || c == '-' ? SIGNED : INVALID;
    case SIGNED: return digit ? SCIENTIFIC : INVALID;
    case SCIENTIFIC: return digit ? SCIENTIFIC : INVALID;
    default: return INVALID;
  }
}

static u16 machine(char *text, u16 c) {
  int final[STATES] = {0};
  enum state s = START;
  for (char *p = text;; p++) {
    if (*p == ',' || !*p) {
      final[s]++;
      s = START;
      if (!*p) break;
    } else {
      s = step(s, *p);
    }
  }
  for (int i = 0; i < STATES; i++) c = crc(c, (u16)final[i]);
  return c;
}

int main(void) {
  static struct item items[60];
  static char text[] = "5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,+0.6e-12,T0.3e-1F,-T.T++Tq";
  u16 list = 0, matrix = 0, states = 0;
  for (i32 i = 0; i < 4 * SCALE; i++) {
    list = lists(items, 60, i * 17 + 3, list);
    matrix = matrices(i + 5, matrix);
    states = machine(text, states);
    text[i % 40] ^= 1;
  }
  printf("list %04x, matrix %04x, states %04x, all %04x\n", list, matrix, states, crc(crc(list, matrix), states));
  return 0;
}
