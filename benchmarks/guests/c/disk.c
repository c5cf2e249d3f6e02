/* The block device (virtio 1.2, MMIO transport, split queue): sectors read, written, read back; a request past the end. */
#include "tiny.h"

#define BASE 0x10001000ul
#define REG(offset) (*(volatile u32 *)(BASE + (offset)))
#define QUEUE 8

static struct {
  u64 address;
  u32 length;
  u16 flags, next;
} descriptors[QUEUE] __attribute__((aligned(16)));
static struct {
  volatile u16 flags, index, ring[QUEUE];
} available __attribute__((aligned(2)));
static struct {
  volatile u16 flags, index;
  struct {
    volatile u32 id, length;
  } ring[QUEUE];
} used __attribute__((aligned(4)));
static struct {
  u32 kind, reserved;
  u64 sector;
} header;
static volatile u8 status;
static u8 data[4 * 512];

static void address(u32 offset, void *to) {
  REG(offset) = (u32)(u64)to;
  REG(offset + 4) = (u32)((u64)to >> 32);
}

static int start(void) {
  if (REG(0) != 0x74726976 || REG(4) != 2 || REG(8) != 2) return 0;
  REG(0x70) = 0;
  REG(0x70) = 1;
  REG(0x70) = 3;
  REG(0x24) = 0;
  REG(0x20) = 0;
  REG(0x24) = 1;
  REG(0x20) = 1; /* VIRTIO_F_VERSION_1 */
  REG(0x70) = 11;
  if (!(REG(0x70) & 8)) return 0;
  REG(0x30) = 0;
  if (REG(0x34) < QUEUE) return 0;
  REG(0x38) = QUEUE;
  address(0x80, descriptors);
  address(0x90, &available);
  address(0xA0, &used);
  REG(0x44) = 1;
  REG(0x70) = 15;
  return 1;
}

static int request(u32 kind, u64 sector, u32 length) {
  header.kind = kind;
  header.sector = sector;
  status = 0xFF;
  descriptors[0].address = (u64)&header, descriptors[0].length = 16, descriptors[0].flags = 1, descriptors[0].next = 1;
  descriptors[1].address = (u64)data, descriptors[1].length = length;
  descriptors[1].flags = kind == 0 ? 3 : 1, descriptors[1].next = 2;
  descriptors[2].address = (u64)&status, descriptors[2].length = 1, descriptors[2].flags = 2;
  u16 before = used.index;
  available.ring[available.index % QUEUE] = 0;
  __asm__ volatile("fence" ::: "memory");
  available.index++;
  __asm__ volatile("fence" ::: "memory");
  REG(0x50) = 0;
  while (used.index == before) {
  }
  __asm__ volatile("fence" ::: "memory");
  u32 pending = REG(0x60);
  REG(0x64) = pending;
  return status;
}

static u64 sum(u32 n) {
  u64 s = 14695981039346656037ul;
  for (u32 i = 0; i < n; i++) s = (s ^ data[i]) * 1099511628211ul;
  return s;
}

int main(void) {
  if (!start()) {
    puts("no disk");
    return 1;
  }
  printf("%lu sectors\n", (u64)REG(0x104) << 32 | REG(0x100));
  int s = request(0, 0, 512);
  printf("read 0: %d, %lx\n", s, sum(512));
  s = request(0, 2, sizeof data);
  printf("read 2 to 5: %d, %lx\n", s, sum(sizeof data));
  for (u32 i = 0; i < 1024; i++) data[i] = (u8)(i * 7 + 1);
  s = request(1, 7, 1024);
  printf("write 7 and 8: %d\n", s);
  memset(data, 0, sizeof data);
  s = request(0, 6, sizeof data);
  printf("read 6 to 9: %d, %lx\n", s, sum(sizeof data));
  printf("past the end: %d\n", request(0, 1000000, 512));
  return 0;
}
