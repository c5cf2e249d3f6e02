/* CRC-32 (ISO-HDLC), CRC-16 (CCITT) and Adler-32, by table and bit by bit. */
#include "tiny.h"

static u32 table[256];

static u32 crc32(const u8 *p, u64 n) {
  u32 c = ~0u;
  while (n--) c = table[(c ^ *p++) & 0xFF] ^ c >> 8;
  return ~c;
}

static u32 crc32_slow(const u8 *p, u64 n) {
  u32 c = ~0u;
  while (n--) {
    c ^= *p++;
    for (int i = 0; i < 8; i++) c = c >> 1 ^ (0xEDB88320u & -(c & 1));
  }
  return ~c;
}

static u16 crc16(const u8 *p, u64 n) {
  u16 c = 0xFFFF;
  while (n--) {
    c ^= (u16)(*p++ << 8);
    for (int i = 0; i < 8; i++) c = (u16)(c & 0x8000 ? c << 1 ^ 0x1021 : c << 1);
  }
  return c;
}

static u32 adler(const u8 *p, u64 n) {
  u32 a = 1, b = 0;
  while (n--) a = (a + *p++) % 65521, b = (b + a) % 65521;
  return b << 16 | a;
}

int main(void) {
  for (u32 i = 0; i < 256; i++) {
    u32 c = i;
    for (int k = 0; k < 8; k++) c = c >> 1 ^ (0xEDB88320u & -(c & 1));
    table[i] = c;
  }
  const u8 *check = (const u8 *)"123456789";
  printf("%08x %08x %04x %08x\n", crc32(check, 9), crc32_slow(check, 9), crc16(check, 9), adler(check, 9));
  u64 n = 2000ul * SCALE, seed = 3;
  u8 *data = malloc(n);
  for (u64 i = 0; i < n; i++) data[i] = (u8)random64(&seed);
  u32 fast = crc32(data, n), slow = crc32_slow(data, n);
  printf("%08x %08x %04x %08x\n", fast, slow, crc16(data, n), adler(data, n));
  return fast != slow;
}
