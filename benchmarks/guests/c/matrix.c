/* Integer matrices: product, power, determinant over a prime field. */
#include "tiny.h"
#define N 12
#define P 1000003

static u64 a[N][N], b[N][N], c[N][N];

static void multiply(u64 to[N][N], u64 x[N][N], u64 y[N][N]) {
  static u64 t[N][N];
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      u64 sum = 0;
      for (int k = 0; k < N; k++) sum += x[i][k] * y[k][j];
      t[i][j] = sum % P;
    }
  memcpy(to, t, sizeof t);
}

static u64 power(u64 x, u64 n) {
  u64 r = 1;
  for (; n; n >>= 1, x = x * x % P)
    if (n & 1) r = r * x % P;
  return r;
}

static u64 determinant(u64 m[N][N]) {
  u64 t[N][N], d = 1;
  memcpy(t, m, sizeof t);
  for (int i = 0; i < N; i++) {
    int p = i;
    while (p < N && !t[p][i]) p++;
    if (p == N) return 0;
    if (p != i) {
      for (int j = 0; j < N; j++) {
        u64 v = t[p][j];
        t[p][j] = t[i][j];
        t[i][j] = v;
      }
      d = P - d;
    }
    d = d * t[i][i] % P;
    u64 inverse = power(t[i][i], P - 2);
    for (int r = i + 1; r < N; r++) {
      u64 f = t[r][i] * inverse % P;
      for (int j = i; j < N; j++) t[r][j] = (t[r][j] + (P - f) * t[i][j]) % P;
    }
  }
  return d;
}

int main(void) {
  u64 seed = 7;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) a[i][j] = random64(&seed) % P, b[i][j] = i == j;
  for (u64 n = 5 * SCALE; n; n--) multiply(b, b, a);
  multiply(c, b, a);
  u64 trace = 0;
  for (int i = 0; i < N; i++) trace = (trace + c[i][i]) % P;
  printf("trace %lu\n", trace);
  u64 da = determinant(a), dc = determinant(c), expected = power(da, 5 * SCALE + 1);
  printf("det a %lu, det a^%lu %lu\n", da, 5ul * SCALE + 1, dc);
  if (dc != expected) {
    puts("the determinant is not multiplicative");
    return 1;
  }
  return 0;
}
