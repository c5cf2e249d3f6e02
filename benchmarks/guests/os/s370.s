; A small operating system for System/370: two tasks in the problem state with storage keys of their own, supervisor calls,
; preemption by external interruptions, and an end for a task that stores where it may not.
        .equ CONSOLE, 0xFFF000
        .equ POWER, 0xFFF010
        .equ TIMER, 0xFFF020
        .equ PERIOD, 100

; A task: registers 0 to 15, the PSW, the next task, and whether it lives.
        .equ PSW, 64
        .equ NEXT, 72
        .equ ALIVE, 76

        .org 0x58                       ; new PSWs: supervisor, no interruptions
        .bits 32, 0x00080000, tick, 0x00080000, call, 0x00080000, fault

        .entry 0x200
        .org 0x200
        l r1, console
        l r2, timer
        lctl 0, 0, control
        la r3, 0x10
        l r4, page_a
        ssk r3, r4
        la r3, 0x20
        l r4, page_b
        ssk r3, r4
        mvi 0(r2), PERIOD
        bc 15, resume

tick:   stm r0, r15, save
        l r1, current
        mvc 0(r1)(63), save
        mvc PSW(r1)(7), 0x18
        l r3, timer
        mvi 1(r3), 0
switch: l r1, NEXT(,r1)
        cli ALIVE(r1), 0
        bc 8, switch
        st r1, current

resume: l r1, current
        mvc go(7), PSW(r1)
        lm r0, r15, 0(r1)
        lpsw go

call:   stm r0, r15, save
        l r1, current
        mvc 0(r1)(63), save
        mvc PSW(r1)(7), 0x20
        cli 0x8B, 1
        bc 6, ended
        l r3, console
        mvc 0(r3)(0), 11(r1)            ; the low byte of register 2
        bc 15, resume

fault:  l r3, console
        mvi 0(r3), '!'
        l r1, current
ended:  mvi ALIVE(r1), 0
        l r4, living
        bct r4, 1f
        l r3, console
        mvi 0(r3), 10
        l r3, power
        mvi 0(r3), 0
2:      bc 15, 2b
1:      st r4, living
        bc 15, switch

        .align 8
go:     .bits 32, 0, 0
console: .bits 32, CONSOLE
power:  .bits 32, POWER
timer:  .bits 32, TIMER
control: .bits 32, 0x400                ; the timer's subclass
page_a: .bits 32, 0x3000
page_b: .bits 32, 0x3800
living: .bits 32, 2
current: .bits 32, task_a
save:   .space 64

task_a: .bits 32, 0, 0, 'a', 0, 12, 0, 0x3000, 0, 0, 0, 0, 0, 0x1000, 0, 0, 0
        .bits 32, 0x01190000, 0x1000, task_b
        .byte 1
        .align 4
task_b: .bits 32, 0, 0, 'b', 0, 12, 0, 0x3800, 0, 0, 0, 0, 0, 0x1000, 0, 0, 0
        .bits 32, 0x01290000, 0x1000, task_a
        .byte 1

        .org 0x1000                     ; both tasks; register 12 is the base, 6 the task's own page
        .equ HERE, 0x1000
1:      svc 1
        l r7, 0(,r6)
        ar r7, r2
        st r7, 0(,r6)
        la r5, 18
2:      bct r5, 2b-HERE(,r12)
        bct r4, 1b-HERE(,r12)
        la r8, 'b'
        cr r8, r2
        bc 6, 1f-HERE(,r12)
        st r7, 0x800(,r12)              ; the program itself has key 0
1:      svc 2
