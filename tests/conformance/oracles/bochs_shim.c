/*
 * What the published build of bochscpu lacks, loaded before it with global visibility.
 *
 * - It wants two symbols of glibc 2.38 (C23 number parsing); Debian 12 has 2.36.
 * - IN and OUT look up two parameters it never defined and follow the null pointer: unknown parameters are false.
 * - Port accesses reach an assertion: the ports are an open bus here, reading as ones.
 * - A triple fault waits for ever for a reset: the process ends, which the driver reports.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return strtoull(text, end, base); }

int __isoc23_sscanf(const char *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int count = vsscanf(text, format, arguments);
    va_end(arguments);
    return count;
}

/* Set by the driver to the library's own functions. */
void *(*shim_get_param_bool)(const char *name);
void *(*shim_new_param_bool)(const char *name, bool value);

void *sim_get_param_bool(const char *name) {
    static void *undefined_is_false;
    void *parameter = shim_get_param_bool ? shim_get_param_bool(name) : NULL;
    if (parameter || !shim_new_param_bool) return parameter;
    if (!undefined_is_false) undefined_is_false = shim_new_param_bool("undefined", false);
    return undefined_is_false;
}

/* bx_devices_c::inp(port, size) and ::outp(port, value, size); the first argument is `this`. */
uint32_t _ZN12bx_devices_c3inpEtj(void *self, uint16_t port, unsigned size) {
    return size == 1 ? 0xff : size == 2 ? 0xffff : 0xffffffff;
}

void _ZN12bx_devices_c4outpEtjj(void *self, uint16_t port, uint32_t value, unsigned size) {}

/* BX_MEM_C::dbg_fetch_mem(cpu, address, length, buffer), a static member; asserts. Used on the way to shutdown. */
bool _ZN8BX_MEM_C13dbg_fetch_memEP8BX_CPU_CmjPh(void *cpu, uint64_t address, unsigned length, uint8_t *buffer) {
    return false;
}

/* BX_CPU_C::shutdown(), a static member. */
void _ZN8BX_CPU_C8shutdownEv(void) {
    fputs("triple fault: shutdown\n", stderr);
    _exit(1);
}
