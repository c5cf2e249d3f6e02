/* A B-tree (Knuth, TAOCP 6.2.4) of order 8 and a hash table, filled with the same keys and compared. */
#include "tiny.h"
#define T 4 /* a node but the root has T - 1 to 2T - 1 keys */

struct node {
  int count, leaf;
  u64 key[2 * T - 1], value[2 * T - 1];
  struct node *child[2 * T];
};

static struct node *root;
static int nodes;

static struct node *new_node(int leaf) {
  struct node *n = malloc(sizeof *n);
  memset(n, 0, sizeof *n);
  n->leaf = leaf;
  nodes++;
  return n;
}

static void split(struct node *parent, int i) {
  struct node *full = parent->child[i], *right = new_node(full->leaf);
  right->count = T - 1;
  for (int j = 0; j < T - 1; j++) right->key[j] = full->key[j + T], right->value[j] = full->value[j + T];
  for (int j = 0; j < T && !full->leaf; j++) right->child[j] = full->child[j + T];
  full->count = T - 1;
  for (int j = parent->count; j > i; j--) {
    parent->child[j + 1] = parent->child[j];
    parent->key[j] = parent->key[j - 1];
    parent->value[j] = parent->value[j - 1];
  }
  parent->child[i + 1] = right;
  parent->key[i] = full->key[T - 1];
  parent->value[i] = full->value[T - 1];
  parent->count++;
}

static void insert(u64 key, u64 value) {
  if (root->count == 2 * T - 1) {
    struct node *old = root;
    root = new_node(0);
    root->child[0] = old;
    split(root, 0);
  }
  for (struct node *n = root;;) {
    int i = 0;
    while (i < n->count && key > n->key[i]) i++;
    if (i < n->count && key == n->key[i]) {
      n->value[i] += value;
      return;
    }
    if (n->leaf) {
      for (int j = n->count; j > i; j--) n->key[j] = n->key[j - 1], n->value[j] = n->value[j - 1];
      n->key[i] = key, n->value[i] = value, n->count++;
      return;
    }
    if (n->child[i]->count == 2 * T - 1) {
      split(n, i);
      continue;
    }
    n = n->child[i];
  }
}

static u64 *find(u64 key) {
  for (struct node *n = root; n;) {
    int i = 0;
    while (i < n->count && key > n->key[i]) i++;
    if (i < n->count && key == n->key[i]) return &n->value[i];
    n = n->leaf ? NULL : n->child[i];
  }
  return NULL;
}

static u64 last, walked, digest;

static void walk(const struct node *n, int depth, int *height) {
  if (depth > *height) *height = depth;
  for (int i = 0; i <= n->count; i++) {
    if (!n->leaf) walk(n->child[i], depth + 1, height);
    if (i == n->count) continue;
    if (walked++ && n->key[i] <= last) {
      puts("out of order");
      exit(1);
    }
    last = n->key[i];
    digest = digest * 1099511628211ul + n->key[i] * 31 + n->value[i];
  }
}

#define SLOTS 4096
struct entry {
  u64 key, value;
  int used;
};
static struct entry table[SLOTS];

static struct entry *slot(u64 key) {
  u64 i = key * 0x9E3779B97F4A7C15ul >> 52;
  while (table[i % SLOTS].used && table[i % SLOTS].key != key) i++;
  return &table[i % SLOTS];
}

int main(void) {
  u64 seed = 11, n = 400ul * SCALE, distinct = 0;
  root = new_node(1);
  for (u64 i = 0; i < n; i++) {
    u64 key = random64(&seed) % 1500;
    insert(key, i);
    struct entry *e = slot(key);
    distinct += !e->used;
    e->used = 1, e->key = key, e->value += i;
  }
  int height = 0;
  walk(root, 1, &height);
  printf("%lu keys, %d nodes, height %d, digest %lx\n", walked, nodes, height, digest);
  for (u64 key = 0; key < 1500; key++) {
    u64 *found = find(key);
    struct entry *e = slot(key);
    if ((found != NULL) != e->used || (found && *found != e->value)) {
      printf("tree and table differ at %lu\n", key);
      return 1;
    }
  }
  printf("%lu distinct, tree and table agree\n", distinct);
  return walked != distinct;
}
