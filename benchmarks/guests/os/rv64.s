; A small operating system for RV64: M mode keeps the timer, S mode the tasks, and each task has an address space (Sv39).
; Tasks are preempted by the timer, print by system calls, and are ended when they touch what is not theirs.  Their pages
; begin without A and D, so the kernel marks them on page faults, as Svade wants it.
        .equ UART, 0x10000000
        .equ FINISHER, 0x100000
        .equ CLINT, 0x2000000
        .equ PERIOD, 150

        .equ sstatus, 0x100
        .equ stvec, 0x105
        .equ sscratch, 0x140
        .equ sepc, 0x141
        .equ scause, 0x142
        .equ stval, 0x143
        .equ sip, 0x144
        .equ satp, 0x180
        .equ mstatus, 0x300
        .equ medeleg, 0x302
        .equ mideleg, 0x303
        .equ mie, 0x304
        .equ mtvec, 0x305
        .equ mscratch, 0x340
        .equ mepc, 0x341
        .equ mcause, 0x342
        .equ mip, 0x344

        .include "rv64-macros.s"

; ---- machine mode: the timer ------------------------------------------------------------------------------------------

_start: la x5, mtrap
        csrrw x0, mtvec, x5
        la x5, msave
        csrrw x0, mscratch, x5
        li x5, 0xB100                   ; calls from U and page faults are the kernel's
        csrrw x0, medeleg, x5
        addi x5, x0, 0x222
        csrrw x0, mideleg, x5
        addi x5, x0, 0x82               ; MTIE, SSIE
        csrrw x0, mie, x5
        li x5, 0x1800
        csrrc x0, mstatus, x5
        li x5, 0x800                    ; MPP = S
        csrrs x0, mstatus, x5
        la x5, kernel
        csrrw x0, mepc, x5
        li x5, CLINT + 0x4000
        addi x6, x0, PERIOD
        sd x6, 0(x5)                    ; mtimecmp
        mret

mtrap:  csrrw x5, mscratch, x5
        sd x6, 0(x5)
        sd x7, 8(x5)
        csrrs x6, mcause, x0
        bge x6, x0, panic               ; nothing else may come here
        li x6, CLINT
        lui x7, 0xC
        add x7, x6, x7
        ld x7, -8(x7)                   ; mtime
        addi x7, x7, PERIOD
        lui x5, 4
        add x6, x6, x5
        sd x7, 0(x6)                    ; mtimecmp
        addi x6, x0, 2
        csrrs x0, mip, x6               ; SSIP: the kernel's tick
        la x5, msave
        ld x6, 0(x5)
        ld x7, 8(x5)
        csrrw x5, mscratch, x5
        mret

panic:  li x5, FINISHER
        li x6, 0x13333
        sw x6, 0(x5)
        jal x0, .

        .align 8
msave:  .space 16

; ---- supervisor mode: the tasks ---------------------------------------------------------------------------------------

; A task: x5 to x8, x10, x17, then sepc, satp, the next task, whether it lives, and where its data page's PTE is.
        .equ SEPC, 48
        .equ SATP, 56
        .equ NEXT, 64
        .equ ALIVE, 72
        .equ ENTRY, 80

kernel: la x5, strap
        csrrw x0, stvec, x5
        addi x5, x0, 0x100              ; SPP = U
        csrrc x0, sstatus, x5
        la x31, task_a
        jal x0, resume

strap:  csrrw x31, sscratch, x31
        sd x5, 0(x31)
        sd x6, 8(x31)
        sd x7, 16(x31)
        sd x8, 24(x31)
        sd x10, 32(x31)
        sd x17, 40(x31)
        csrrs x5, sepc, x0
        sd x5, SEPC(x31)
        csrrs x5, scause, x0
        blt x5, x0, tick
        addi x6, x0, 8
        beq x5, x6, call
        csrrs x6, stval, x0             ; a page fault
        srli x6, x6, 12
        lui x7, 0x40
        addi x7, x7, 1
        bne x6, x7, fault
        ld x7, ENTRY(x31)
        ld x8, 0(x7)
        ori x8, x8, 0x40                ; A
        addi x6, x0, 15
        bne x5, x6, 1f
        andi x6, x8, 4
        beq x6, x0, fault               ; not writable
        ori x8, x8, 0x80                ; D
1:      sd x8, 0(x7)
        sfence.vma x0, x0
        jal x0, resume

fault:  addi x10, x0, '!'
        jal x1, print
exit:   sd x0, ALIVE(x31)
        la x5, living
        lw x6, 0(x5)
        addi x6, x6, -1
        sw x6, 0(x5)
        bne x6, x0, switch
        addi x10, x0, 10
        jal x1, print
        li x5, FINISHER
        li x6, 0x5555
        sw x6, 0(x5)
        jal x0, .

tick:   csrrci x0, sip, 2
switch: ld x31, NEXT(x31)
        ld x5, ALIVE(x31)
        beq x5, x0, switch
        jal x0, resume

call:   ld x5, SEPC(x31)
        addi x5, x5, 4
        sd x5, SEPC(x31)
        addi x5, x0, 1
        beq x17, x5, 1f
        addi x5, x0, 3
        bne x17, x5, exit
        ld x7, ENTRY(x31)               ; the task gives up writing to its page
        ld x8, 0(x7)
        andi x8, x8, -5                 ; W
        sd x8, 0(x7)
        sfence.vma x0, x0
        jal x0, resume
1:      jal x1, print
        jal x0, resume

print:  li x5, UART
        sb x10, 0(x5)
        jalr x0, 0(x1)

resume: csrrw x0, sscratch, x31
        ld x5, SATP(x31)
        csrrw x0, satp, x5
        sfence.vma x0, x0
        ld x5, SEPC(x31)
        csrrw x0, sepc, x5
        ld x5, 0(x31)
        ld x6, 8(x31)
        ld x7, 16(x31)
        ld x8, 24(x31)
        ld x10, 32(x31)
        ld x17, 40(x31)
        sret

        .align 8
living: .word 2
task_a: .space 48
        .word 0x40000000
        .word (8 << 60) + 0x80010
        .word task_b
        .word 1
        .word 0x80014008
task_b: .space 48
        .word 0x40000000
        .word (8 << 60) + 0x80011
        .word task_a
        .word 1
        .word 0x80015008

; ---- page tables ------------------------------------------------------------------------------------------------------

        .macro root at, next
        .org \at
        .word 0xC7                      ; devices: the first gigabyte, the kernel's
        .word (\next >> 2) + 1
        .word (0x80000000 >> 2) + 0xCF  ; RAM, the kernel's
        .endm

        .macro leaves at, data
        .org \at
        .word (0x80016000 >> 2) + 0x5B  ; the program: R, X, U, A
        .word (\data >> 2) + 0x17       ; its data: R, W, U
        .endm

        root 0x80010000, 0x80012000
        root 0x80011000, 0x80013000
        .org 0x80012000
        .word (0x80014000 >> 2) + 1
        .org 0x80013000
        .word (0x80015000 >> 2) + 1
        leaves 0x80014000, 0x80017000
        leaves 0x80015000, 0x80018000

; ---- user mode: one program, two tasks; it runs at 0x40000000 ---------------------------------------------------------

        .org 0x80016000
        lui x8, 0x40001
1:      lbu x10, 0(x8)
        addi x17, x0, 1
        ecall
        lw x6, 4(x8)
        addi x6, x6, 1
        sw x6, 4(x8)
        addi x7, x0, 40
2:      addi x7, x7, -1
        bne x7, x0, 2b
        addi x7, x0, 12
        bne x6, x7, 1b
        lw x6, 8(x8)
        beq x6, x0, 1f
        lui x8, 0x40005                 ; not there
        sw x6, 0(x8)
1:      addi x17, x0, 3
        ecall
        sw x6, 4(x8)                    ; no more
        addi x17, x0, 2
        ecall

        .org 0x80017000
        .byte 'a'
        .org 0x80018000
        .byte 'b'
        .org 0x80018008
        .byte 1
