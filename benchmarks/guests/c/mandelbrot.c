/* The Mandelbrot set in fixed point with 16 fractional bits. */
#include "tiny.h"
#define ONE 65536l

int main(void) {
  static const char shade[] = " .:-=+*#%@";
  int limit = 20 * SCALE;
  u64 total = 0;
  for (int row = 0; row < 16; row++) {
    for (int column = 0; column < 48; column++) {
      i64 cr = (column - 34) * ONE / 16, ci = (row - 8) * ONE / 7, zr = 0, zi = 0;
      int n = 0;
      while (n < limit && zr * zr + zi * zi < 4 * ONE * ONE) {
        i64 t = (zr * zr - zi * zi) / ONE + cr;
        zi = 2 * zr * zi / ONE + ci;
        zr = t;
        n++;
      }
      total += (u64)n;
      putchar(shade[n == limit ? 9 : n % 9]);
    }
    putchar('\n');
  }
  printf("%lu iterations\n", total);
  return 0;
}
