/* Conway's life on a torus: a glider, and the R-pentomino. */
#include "tiny.h"
#define W 24
#define H 16

static u8 now[H][W], next[H][W];

static int neighbours(int y, int x) {
  int n = 0;
  for (int dy = -1; dy <= 1; dy++)
    for (int dx = -1; dx <= 1; dx++)
      if (dy || dx) n += now[(y + dy + H) % H][(x + dx + W) % W];
  return n;
}

static void show(int generation) {
  int alive = 0;
  for (int y = 0; y < H; y++) {
    for (int x = 0; x < W; x++) putchar(now[y][x] ? '#' : '.'), alive += now[y][x];
    putchar('\n');
  }
  printf("generation %d: %d alive\n", generation, alive);
}

int main(void) {
  static const u8 start[][2] = {{1, 2}, {2, 3}, {3, 1}, {3, 2}, {3, 3}, {9, 14}, {9, 15}, {10, 13}, {10, 14}, {11, 14}};
  for (u64 i = 0; i < sizeof start / 2; i++) now[start[i][0]][start[i][1]] = 1;
  int generations = 12 * SCALE;
  for (int g = 0; g < generations; g++) {
    for (int y = 0; y < H; y++)
      for (int x = 0; x < W; x++) {
        int n = neighbours(y, x);
        next[y][x] = n == 3 || (n == 2 && now[y][x]);
      }
    memcpy(now, next, sizeof now);
  }
  show(generations);
  return 0;
}
