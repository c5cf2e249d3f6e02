# Start of a bare-metal C program in machine mode, RAM at 0x80000000 (QEMU `virt` and boards like it).
# An unexpected trap ends the program with code 99.
    .section .text.init,"ax"
    .globl _start
_start:
    la   t0, trapped
    csrw mtvec, t0
    la   sp, _stack_top
    la   t0, _bss_start
    la   t1, _bss_end
1:  bgeu t0, t1, 2f
    sd   zero, 0(t0)
    addi t0, t0, 8
    j    1b
2:  call main
    call exit
    .balign 4
trapped:
    li   a0, 99
    call exit
