/* Quicksort, heapsort and merge sort of the same numbers. */
#include "tiny.h"

static void swap(u32 *a, u32 *b) {
  u32 t = *a;
  *a = *b;
  *b = t;
}

static void quick(u32 *a, i64 lo, i64 hi) {
  while (lo < hi) {
    u32 pivot = a[lo + (hi - lo) / 2];
    i64 i = lo, j = hi;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) swap(&a[i++], &a[j--]);
    }
    if (j - lo < hi - i) {
      quick(a, lo, j);
      lo = i;
    } else {
      quick(a, i, hi);
      hi = j;
    }
  }
}

static void sift(u32 *a, u64 root, u64 n) {
  for (u64 child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && a[child + 1] > a[child]) child++;
    if (a[root] >= a[child]) return;
    swap(&a[root], &a[child]);
  }
}

static void heap(u32 *a, u64 n) {
  for (u64 i = n / 2; i-- > 0;) sift(a, i, n);
  for (u64 i = n; i-- > 1;) {
    swap(&a[0], &a[i]);
    sift(a, 0, i);
  }
}

static void merge(u32 *a, u32 *spare, u64 n) {
  if (n < 2) return;
  u64 half = n / 2;
  merge(a, spare, half);
  merge(a + half, spare, n - half);
  memcpy(spare, a, n * sizeof *a);
  for (u64 i = 0, j = half, k = 0; k < n; k++) a[k] = j == n || (i < half && spare[i] <= spare[j]) ? spare[i++] : spare[j++];
}

static u64 digest(const u32 *a, u64 n) {
  u64 sum = 0;
  for (u64 i = 0; i < n; i++) {
    if (i && a[i - 1] > a[i]) {
      printf("out of order at %lu\n", i);
      exit(1);
    }
    sum = sum * 31 + a[i];
  }
  return sum;
}

int main(void) {
  u64 n = 500ul * SCALE;
  u32 *original = malloc(n * sizeof(u32)), *a = malloc(n * sizeof(u32)), *spare = malloc(n * sizeof(u32));
  u64 seed = 42;
  for (u64 i = 0; i < n; i++) original[i] = (u32)random64(&seed);
  memcpy(a, original, n * sizeof *a);
  quick(a, 0, (i64)n - 1);
  printf("quick %lx\n", digest(a, n));
  memcpy(a, original, n * sizeof *a);
  heap(a, n);
  printf("heap  %lx\n", digest(a, n));
  memcpy(a, original, n * sizeof *a);
  merge(a, spare, n);
  printf("merge %lx\n", digest(a, n));
  return 0;
}
