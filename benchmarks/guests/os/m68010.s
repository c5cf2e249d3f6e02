; A small operating system for the MC68010: two tasks in user mode, system calls by TRAP #0 and #1, preemption by a timer
; at level 6, and an end for a task that does what it may not.  There is no memory management: a task is kept from the
; registers of the system, not from its memory.
        .equ CONSOLE, 0xFFF000
        .equ POWER, 0xFFF010
        .equ TIMER, 0xFFF020
        .equ PERIOD, 120

; A task: D0 to D3 and A0, then the user stack pointer, SR and PC, the next task, and whether it lives.
        .equ USP, 20
        .equ SR, 24
        .equ PC, 26
        .equ NEXT, 30
        .equ ALIVE, 34

start:  move.l #fault, (8*4).w          ; privilege violation
        move.l #fault, (4*4).w          ; illegal instruction
        move.l #tick, (30*4).w
        move.l #put, (32*4).w
        move.l #exit, (33*4).w
        lea (stack).l, a7
        lea (task_a).l, a6
        move.b #PERIOD, (TIMER).l
        bra.w resume

; Each entry saves the task; A6 is its block then.
tick:   move.b #0, (TIMER+1).l
        btst.b #5, (a7)                   ; the kernel itself is not preempted
        bne.s 1f
        bsr.w keep
switch: movea.l (NEXT,a6), a6
        tst.b (ALIVE,a6)
        beq.s switch

        bra.s resume
1:      rte

resume: move.l a6, (current).l
        movea.l (USP,a6), a0
        move.l a0, usp
        lea (stack).l, a7
        move.w #0, -(a7)                ; format and vector offset
        move.l (PC,a6), -(a7)
        move.w (SR,a6), -(a7)
        move.l (0,a6), d0
        move.l (4,a6), d1
        move.l (8,a6), d2
        move.l (12,a6), d3
        movea.l (16,a6), a0
        rte

keep:   movea.l (current).l, a6         ; A6 is the kernel's
        move.l d0, (0,a6)
        move.l d1, (4,a6)
        move.l d2, (8,a6)
        move.l d3, (12,a6)
        move.l a0, (16,a6)
        move.l usp, a0
        move.l a0, (USP,a6)
        move.w (4,a7), (SR,a6)
        move.l (6,a7), (PC,a6)
        rts

put:    bsr.w keep
        move.w sr, d1                   ; on the 68000 user mode may do so too, and sees what is not its own
        ori.w #0x700, sr                ; nothing comes between
        move.b d0, (CONSOLE).l
        move.w d1, sr
        bra.w resume

fault:  bsr.w keep
        move.b #'!', (CONSOLE).l
        bra.s ended
exit:   bsr.w keep
ended:  move.b #0, (ALIVE,a6)
        subq.b #1, (living).l
        bne.w switch
        move.b #10, (CONSOLE).l
        move.b #0, (POWER).l
1:      bra.s 1b

task:   moveq #12, d1
1:      move.l d3, d0
        trap #0
        moveq #25, d2
2:      subq.l #1, d2
        bne.s 2b
        subq.l #1, d1
        bne.s 1b
        cmpi.b #'b', d3
        bne.s 1f
        move.w #0x2700, sr              ; not for tasks
1:      trap #1

        .align 4
current: .bits 32, 0
living: .byte 2
        .align 4
task_a: .bits 32, 0, 0, 0, 'a', 0, 0x8000
        .bits 16, 0
        .bits 32, task, task_b
        .byte 1
        .align 4
task_b: .bits 32, 0, 0, 0, 'b', 0, 0x9000
        .bits 16, 0
        .bits 32, task, task_a
        .byte 1
        .align 4
        .space 256
stack:  .space 4
