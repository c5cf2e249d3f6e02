/* A small Lisp: numbers, symbols, lists, closures, and a collector that marks and sweeps. */
#include "tiny.h"

enum kind { FREE, PAIR, INTEGER, SYMBOL, CLOSURE, BUILTIN, NIL };
typedef struct cell *value;
struct cell {
  u8 kind, marked;
  union {
    struct {
      value head, tail;
    };
    i64 number;
    const char *name;
  };
};

#define CELLS 6000
static struct cell cells[CELLS], nil = {NIL, 0, {{0, 0}}};
#define EMPTY (&nil)
static value free_cells, symbols, globals;
static value roots[2000];
static int root_count, collections;

static value root(value v) {
  if (root_count == 2000) {
    puts("too deep");
    exit(2);
  }
  return roots[root_count++] = v;
}

static void mark(value v) {
  while (v && !v->marked && v->kind != NIL) {
    v->marked = 1;
    if (v->kind != PAIR && v->kind != CLOSURE) return;
    mark(v->head);
    v = v->tail;
  }
}

static void collect(void) {
  mark(symbols);
  mark(globals);
  for (int i = 0; i < root_count; i++) mark(roots[i]);
  free_cells = NULL;
  for (int i = 0; i < CELLS; i++) {
    if (!cells[i].marked) {
      cells[i].kind = FREE;
      cells[i].head = free_cells;
      free_cells = &cells[i];
    }
    cells[i].marked = 0;
  }
  collections++;
}

static value make(enum kind kind, value head, value tail) {
  if (!free_cells) {
    int n = root_count;
    if (head) root(head);
    if (tail) root(tail);
    collect();
    root_count = n;
    if (!free_cells) {
      puts("out of cells");
      exit(2);
    }
  }
  value v = free_cells;
  free_cells = v->head;
  v->kind = (u8)kind;
  v->head = head;
  v->tail = tail;
  return v;
}

static value cons(value a, value b) { return make(PAIR, a, b); }

static value integer(i64 n) {
  value v = make(INTEGER, NULL, NULL);
  v->number = n;
  return v;
}

static value symbol(const char *text, u64 length) {
  for (value s = symbols; s->kind == PAIR; s = s->tail)
    if (!strncmp(s->head->name, text, length) && !s->head->name[length]) return s->head;
  char *name = malloc(length + 1);
  memcpy(name, text, length);
  name[length] = 0;
  value v = make(SYMBOL, NULL, NULL);
  v->name = name;
  symbols = cons(v, symbols);
  return v;
}

static const char *at;

static value read(void) {
  while (*at == ' ' || *at == '\n') at++;
  if (*at == '(') {
    at++;
    int n = root_count;
    value first = EMPTY, last = NULL;
    for (;;) {
      while (*at == ' ' || *at == '\n') at++;
      if (*at == ')') break;
      value item = read();
      value pair = cons(item, EMPTY);
      if (last) {
        last->tail = pair;
      } else {
        root(first = pair);
      }
      last = pair;
    }
    at++;
    root_count = n;
    return first;
  }
  if (*at == '\'') {
    at++;
    value quoted = root(cons(read(), EMPTY));
    value v = cons(symbol("quote", 5), quoted);
    root_count--;
    return v;
  }
  const char *start = at;
  while (*at && *at != ' ' && *at != '\n' && *at != '(' && *at != ')') at++;
  int negative = *start == '-' && at - start > 1;
  if (start[negative] >= '0' && start[negative] <= '9') {
    i64 n = 0;
    for (const char *p = start + negative; p < at; p++) n = n * 10 + *p - '0';
    return integer(negative ? -n : n);
  }
  return symbol(start, (u64)(at - start));
}

static void print(value v) {
  switch (v->kind) {
    case NIL: printf("()"); break;
    case INTEGER: printf("%ld", v->number); break;
    case SYMBOL: printf("%s", v->name); break;
    case PAIR:
      putchar('(');
      for (; v->kind == PAIR; v = v->tail) {
        print(v->head);
        if (v->tail->kind == PAIR) putchar(' ');
      }
      putchar(')');
      break;
    default: printf("<function>");
  }
}

static int is(value v, const char *name) { return v->kind == SYMBOL && !strcmp(v->name, name); }

static value find(value name, value environment) {
  for (int global = 0; global < 2; global++)
    for (value e = global ? globals : environment; e->kind == PAIR; e = e->tail)
      if (e->head->head == name) return e->head;
  printf("unbound: %s\n", name->name);
  exit(3);
}

static value evaluate(value v, value environment);

static value apply(const char *f, value a) {
  value x = a->kind == PAIR ? a->head : EMPTY, y = a->kind == PAIR && a->tail->kind == PAIR ? a->tail->head : EMPTY;
  value truth = symbol("t", 1);
  if (!strcmp(f, "+")) return integer(x->number + y->number);
  if (!strcmp(f, "-")) return integer(x->number - y->number);
  if (!strcmp(f, "*")) return integer(x->number * y->number);
  if (!strcmp(f, "/")) return integer(x->number / y->number);
  if (!strcmp(f, "mod")) return integer(x->number % y->number);
  if (!strcmp(f, "<")) return x->number < y->number ? truth : EMPTY;
  if (!strcmp(f, "=")) return x == y || (x->kind == INTEGER && y->kind == INTEGER && x->number == y->number) ? truth : EMPTY;
  if (!strcmp(f, "cons")) return cons(x, y);
  if (!strcmp(f, "car")) return x->head;
  if (!strcmp(f, "cdr")) return x->tail;
  if (!strcmp(f, "null")) return x->kind == NIL ? truth : EMPTY;
  printf("no function: %s\n", f);
  exit(3);
}

static value evaluate(value v, value environment) {
  int n = root_count;
  for (;;) {
    root_count = n;
    root(v);
    root(environment);
    if (v->kind == SYMBOL) return root_count = n, find(v, environment)->tail;
    if (v->kind != PAIR) return root_count = n, v;
    value op = v->head, rest = v->tail;
    if (is(op, "quote")) return root_count = n, rest->head;
    if (is(op, "if")) {
      v = evaluate(rest->head, environment)->kind != NIL ? rest->tail->head : rest->tail->tail->head;
      continue;
    }
    if (is(op, "define")) {
      value binding = cons(rest->head, root(evaluate(rest->tail->head, environment)));
      globals = cons(binding, globals);
      root_count = n;
      return rest->head;
    }
    if (is(op, "lambda")) {
      value f = make(CLOSURE, rest, environment);
      root_count = n;
      return f;
    }
    value f = root(evaluate(op, environment)), first = EMPTY, last = NULL;
    int slot = root_count;
    root(EMPTY);
    for (; rest->kind == PAIR; rest = rest->tail) {
      value pair = cons(evaluate(rest->head, environment), EMPTY);
      if (last) {
        last->tail = pair;
      } else {
        roots[slot] = first = pair;
      }
      last = pair;
    }
    if (f->kind == BUILTIN) {
      value result = apply(f->name, first);
      root_count = n;
      return result;
    }
    if (f->kind != CLOSURE) {
      printf("no function: ");
      print(f);
      exit(3);
    }
    value inner = f->tail;
    int inner_slot = root_count;
    root(inner);
    for (value p = f->head->head; p->kind == PAIR; p = p->tail, first = first->tail) {
      value binding = root(cons(p->head, first->head));
      roots[inner_slot] = inner = cons(binding, inner);
      root_count--;
    }
    v = f->head->tail->head;
    environment = inner;
  }
}

static const char program[] =
    "(define fib (lambda (n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))))"
    "(define map (lambda (f l) (if (null l) '() (cons (f (car l)) (map f (cdr l))))))"
    "(define range (lambda (a b) (if (< a b) (cons a (range (+ a 1) b)) '())))"
    "(define append (lambda (a b) (if (null a) b (cons (car a) (append (cdr a) b)))))"
    "(define filter (lambda (f l) (if (null l) '() (if (f (car l)) (cons (car l) (filter f (cdr l))) (filter f (cdr l))))))"
    "(define sort (lambda (l) (if (null l) '() (append (sort (filter (lambda (x) (< x (car l))) (cdr l)))"
    "  (cons (car l) (sort (filter (lambda (x) (if (< x (car l)) '() 't)) (cdr l))))))))"
    "(define loop (lambda (n a) (if (= n 0) a (loop (- n 1) (+ a n)))))"
    "(map fib (range 0 12))"
    "(sort '(5 3 9 -1 7 3 0))"
    "((lambda (x) (map (lambda (y) (* x y)) '(1 2 3))) 7)"
    "(loop 300 0)"
    "'(quoted (list) of things)";

int main(void) {
  symbols = globals = EMPTY;
  for (int i = 0; i < CELLS; i++) cells[i].head = free_cells, free_cells = &cells[i];
  static const char *const builtins[] = {"+", "-", "*", "/", "mod", "<", "=", "cons", "car", "cdr", "null"};
  for (u64 i = 0; i < sizeof builtins / sizeof *builtins; i++) {
    value f = root(make(BUILTIN, NULL, NULL));
    f->name = builtins[i];
    globals = cons(cons(symbol(builtins[i], strlen(builtins[i])), f), globals);
    root_count--;
  }
  globals = cons(cons(symbol("t", 1), symbol("t", 1)), globals);
  for (int round = 0; round < SCALE; round++) {
    for (at = program; *at;) {
      value v = evaluate(root(read()), EMPTY);
      root_count = 0;
      if (!round) print(v), putchar('\n');
    }
  }
  printf("%d collections\n", collections);
  return 0;
}
