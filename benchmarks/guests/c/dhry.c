/* In the manner of Dhrystone (Weicker, CACM 27(10), 1984): records, strings, enumerations, calls, in the proportions
   of systems programs.  Written anew; its figures are not Dhrystones. */
#include "tiny.h"

enum tag { FIRST, SECOND, THIRD, FOURTH };
struct record {
  struct record *next;
  enum tag tag, other;
  int number;
  char text[31];
};

static struct record *global, *spare;
static int flag, count, one[50], two[50][50];
static char first_char, second_char;

static enum tag classify(char a, char b) {
  if (a != b) return FIRST;
  first_char = a;
  return SECOND;
}

static int later(const char *a, const char *b) {
  int i = 2;
  char c = 'A';
  while (i <= 2)
    if (classify(a[i], b[i + 1]) == FIRST) c = 'A', i++;
  if (c >= 'W' && c < 'Z') i = 7;
  if (c == 'R') return 1;
  if (strcmp(a, b) > 0) {
    count += i + 7;
    return 1;
  }
  return 0;
}

static void add(int a, int b, int *sum) { *sum = a + 2 + b; }

static void arrays(int a[50], int b[50][50], int x, int y) {
  int i = x + 5;
  a[i] = y;
  a[i + 1] = a[i];
  a[i + 30 - 10] = i;
  for (int j = i; j <= i + 1; j++) b[i][j] = i;
  b[i][i - 1]++;
  b[i + 20][i] = a[i];
  count = 5;
}

static void change(enum tag t, enum tag *to) {
  *to = t == THIRD ? t : FOURTH;
  switch (t) {
    case FIRST: *to = FIRST; break;
    case SECOND: *to = count > 100 ? FIRST : FOURTH; break;
    case THIRD: *to = SECOND; break;
    case FOURTH: break;
  }
}

static void link_in(struct record *r) {
  struct record *next = r->next;
  *next = *global;
  r->number = 5;
  next->number = r->number;
  next->next = r->next;
  if (next->tag == FIRST) {
    next->number = 6;
    change(r->other, &next->other);
    next->next = global->next;
    add(next->number, 10, &next->number);
  } else {
    *r = *next;
  }
}

int main(void) {
  global = malloc(sizeof *global);
  spare = malloc(sizeof *spare);
  memset(global, 0, sizeof *global);
  global->next = spare;
  global->tag = FIRST;
  global->other = THIRD;
  global->number = 40;
  memcpy(global->text, "STRUCTURED PROGRAM, SOME STRING", 31);
  global->text[30] = 0;
  char a[31], b[31];
  memcpy(a, "STRUCTURED PROGRAM, 1'ST STRING", 31);
  a[30] = 0;
  int x = 0, y = 0, z = 0;
  enum tag t = SECOND;
  for (int run = 1; run <= 100 * SCALE; run++) {
    flag = 0;
    second_char = 'B';
    first_char = 'A';
    flag |= first_char == 'A';
    x = 2, y = 3;
    memcpy(b, "STRUCTURED PROGRAM, 2'ND STRING", 31);
    b[30] = 0;
    t = SECOND;
    flag = !later(a, b);
    while (x < y) {
      z = 5 * x - y;
      add(x, y, &z);
      x++;
    }
    arrays(one, two, x, z);
    link_in(global);
    for (char c = 'A'; c <= second_char; c++)
      if (t == classify(c, 'C')) change(FIRST, &t), y = run;
    y = y * x;
    x = y / z;
    y = 7 * (y - z) - x;
    add(x, 1, &x);
  }
  printf("%d %d %d %d %d %c %c\n", x, y, z, (int)t, flag, first_char, second_char);
  printf("%d %d %d %d\n", one[8], two[8][7], global->number, global->next->number);
  printf("%s %d %d\n", global->next->text, (int)global->next->tag, (int)global->next->other);
  return 0;
}
