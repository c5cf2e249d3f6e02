; Reads a character of each of four sectors of the disk, by interrupts that it polls for, and prints them.
        .equ UART, 0x10000000
        .equ DISK, 0x10001000
        .equ PLIC, 0xC000000
        .equ FINISHER, 0x100000

        .include "../../benchmarks/guests/os/rv64-macros.s"

_start: li x5, DISK
        li x6, PLIC
        addi x7, x0, 1
        sw x7, 4(x6)                    ; priority of source 1
        li x8, PLIC + 0x2000
        addi x7, x0, 2
        sw x7, 0(x8)                    ; enabled
        li x8, PLIC + 0x200000          ; threshold, claim
        addi x7, x0, 3
        sw x7, 0x70(x5)
        addi x7, x0, 1
        sw x7, 0x24(x5)
        sw x7, 0x20(x5)                 ; VIRTIO_F_VERSION_1
        addi x7, x0, 11
        sw x7, 0x70(x5)
        addi x7, x0, 4
        sw x7, 0x38(x5)                 ; four descriptors
        la x9, table
        sw x9, 0x80(x5)
        la x10, avail
        sw x10, 0x90(x5)
        la x11, used
        sw x11, 0xA0(x5)
        addi x7, x0, 1
        sw x7, 0x44(x5)
        addi x7, x0, 15
        sw x7, 0x70(x5)

        la x12, header                  ; header, data, status
        la x13, buffer
        la x14, status
        sd x12, 0(x9)
        addi x7, x0, 16
        sw x7, 8(x9)
        li x7, 0x10001                  ; goes on with 1
        sw x7, 12(x9)
        sd x13, 16(x9)
        addi x7, x0, 512
        sw x7, 24(x9)
        li x7, 0x20003                  ; goes on with 2, written
        sw x7, 28(x9)
        sd x14, 32(x9)
        addi x7, x0, 1
        sw x7, 40(x9)
        addi x7, x0, 2
        sw x7, 44(x9)

        addi x15, x0, 0                 ; the sector
1:      sd x15, 8(x12)
        addi x15, x15, 1
        sh x15, 2(x10)                  ; one more is available
        sw x0, 0x50(x5)
        addi x20, x0, 50                ; time passes, with the interrupt pending
2:      addi x20, x20, -1
        bne x20, x0, 2b
        lw x16, 4(x8)                   ; claim
        beq x16, x0, 3f
        addi x7, x0, 1
        sw x7, 0x64(x5)
        addi x20, x0, 20
2:      addi x20, x20, -1
        bne x20, x0, 2b
        sw x16, 4(x8)                   ; complete
        lbu x17, 0(x13)
        li x18, UART
        sb x17, 0(x18)
        addi x7, x0, 4
        bne x15, x7, 1b
        li x19, FINISHER
        li x7, 0x5555
        sw x7, 0(x19)
        jal x0, .
3:      li x19, FINISHER                ; no interrupt came
        li x7, 0x13333
        sw x7, 0(x19)
        jal x0, .

        .data
        .align 16
table:  .word 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
avail:  .word 0, 0, 0, 0
used:   .word 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        .align 8
header: .word 0, 0, 0, 0
status: .word 0, 0
buffer: .space 512
