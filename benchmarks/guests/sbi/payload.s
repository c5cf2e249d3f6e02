; A supervisor program for OpenSBI's fw_jump, which starts it at 0x80200000: it says who it is through the legacy
; console, counts timer interrupts that it asks for, and shuts the machine down.
; RISC-V Supervisor Binary Interface Specification, version 1.0: chapters 5 (legacy), 6 (timer) and 10 (system reset).
        .macro la rd, target
        auipc \rd, (\target - . + 0x800)[31:12]
        addi \rd, \rd, sext(\target - . + 4, 12)
        .endm

        .macro sbi extension_high, extension_low, function
        lui x17, \extension_high
        addi x17, x17, \extension_low
        addi x16, x0, \function
        ecall
        .endm

_start: la x5, tick
        csrrw x0, stvec, x5
        la x8, text
        jal x1, print
        addi x9, x0, 3                ; so many ticks
        addi x5, x0, 0x20             ; STIE
        csrrs x0, sie, x5
        jal x1, arm
        csrrsi x0, sstatus, 2         ; SIE
1:      wfi
        bne x9, x0, 1b
        csrrci x0, sstatus, 2
        la x8, bye
        jal x1, print
        addi x10, x0, 0               ; shutdown, no reason
        addi x11, x0, 0
        sbi 0x53525, 0x354, 0         ; SRST
2:      jal x0, 2b

arm:    csrrs x10, time, x0           ; the next tick is 2000 steps away
        addi x10, x10, 2000
        sbi 0x54495, 0x4D45-0x5000, 0 ; TIME
        jalr x0, 0(x1)

        .align 4
tick:   addi x9, x9, -1
        la x8, dot
        jal x1, print
        addi x10, x0, -1              ; no further tick, which also takes the present one back
        beq x9, x0, 1f
        jal x1, arm
        sret
1:      sbi 0x54495, 0x4D45-0x5000, 0
        sret

print:  lbu x10, 0(x8)
        beq x10, x0, 1f
        addi x17, x0, 1               ; console_putchar
        ecall
        addi x8, x8, 1
        jal x0, print
1:      jalr x0, 0(x1)

text:   .asciz "Hello from supervisor mode\n"
dot:    .asciz "tick\n"
bye:    .asciz "Good bye\n"
