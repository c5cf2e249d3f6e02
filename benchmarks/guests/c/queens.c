/* Queens, sudoku by backtracking, and the towers of Hanoi: recursion. */
#include "tiny.h"

static u64 queens(u32 all, u32 columns, u32 left, u32 right) {
  if (columns == all) return 1;
  u64 n = 0;
  for (u32 open = all & ~(columns | left | right); open;) {
    u32 bit = open & -open;
    open ^= bit;
    n += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return n;
}

static char grid[82] = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
static u64 tried;

static int allowed(int cell, char digit) {
  int row = cell / 9, column = cell % 9;
  for (int i = 0; i < 9; i++) {
    int boxed = (row / 3 * 3 + i / 3) * 9 + column / 3 * 3 + i % 3;
    if (grid[row * 9 + i] == digit || grid[i * 9 + column] == digit || grid[boxed] == digit) return 0;
  }
  return 1;
}

static int solve(int cell) {
  while (cell < 81 && grid[cell] != '.') cell++;
  if (cell == 81) return 1;
  for (char digit = '1'; digit <= '9'; digit++) {
    tried++;
    if (!allowed(cell, digit)) continue;
    grid[cell] = digit;
    if (solve(cell + 1)) return 1;
    grid[cell] = '.';
  }
  return 0;
}

static u64 hanoi(int n, int from, int to) { return n ? hanoi(n - 1, from, 6 - from - to) + 1 + hanoi(n - 1, 6 - from - to, to) : 0; }

int main(void) {
  int n = SCALE > 1 ? 9 : 6;
  printf("%d queens: %lu\n", n, queens((1u << n) - 1, 0, 0, 0));
  printf("%d discs: %lu moves\n", n + 2, hanoi(n + 2, 1, 3));
  if (SCALE > 1) {
    puts(solve(0) ? grid : "no solution");
    printf("%lu tried\n", tried);
  }
  return 0;
}
