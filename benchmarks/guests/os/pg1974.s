; A small operating system for the machine of Popek and Goldberg: tasks in user mode with memory of their own, system
; calls, and an end for those that do what they may not.  The machine has no interrupts, so tasks take turns by calls.
;
; A trap saves the PSW and no cause.  The kernel looks at the instruction under the saved P: a call, or a fault.  There
; are no shifts, so P is found by counting.
        .equ CONSOLE, 0x1FFF00
        .equ POWER, 0x1FFF10
        .equ ONE, 1 << 42               ; 1 in the field P of a PSW
        .equ USER, 1 << 63

; A task control block: the PSW, r1 to r7, then the PSW without P, l, the next block, and whether the task lives.
        .equ FIXED, 8
        .equ L, 9
        .equ NEXT, 10
        .equ ALIVE, 11

        .org 0
        .word 0                         ; the old PSW
        .word trap * ONE + 0x1FFFFF     ; the new one: supervisor, at trap, all of memory

        .org 0x10
start:  li r7, task_a
        br resume(r0)

trap:   st r7, save(r0)
        ld r7, current(r0)
        st r1, 1(r7)
        st r2, 2(r7)
        st r3, 3(r7)
        st r4, 4(r7)
        st r5, 5(r7)
        st r6, 6(r7)
        ld r1, save(r0)
        st r1, 7(r7)
        ld r1, 0(r0)
        st r1, 0(r7)

        ld r2, FIXED(r7)
        sub r1, r2                      ; P, in its field
        li r3, 0
        li r4, 0
        ld r5, one(r0)
count:  mov r6, r1
        sub r6, r4
        bz r6, counted
        add r4, r5
        li r6, 1
        add r3, r6
        br count(r0)
counted:
        ld r4, L(r7)
        add r3, r4
        ld r1, 0(r3)                    ; the instruction that trapped

        mov r2, r1
        ld r3, call_put(r0)
        sub r2, r3
        bz r2, put
        mov r2, r1
        ld r3, call_yield(r0)
        sub r2, r3
        bz r2, yield
        mov r2, r1
        ld r3, call_exit(r0)
        sub r2, r3
        bz r2, exit
        li r1, '!'                      ; a fault
        li r2, CONSOLE
        st r1, 0(r2)
exit:   st r0, ALIVE(r7)
        ld r1, living(r0)
        li r2, 1
        sub r1, r2
        st r1, living(r0)
        bz r1, finish
        br switch(r0)

put:    ld r1, 1(r7)
        li r2, CONSOLE
        st r1, 0(r2)
        bal r6, advance
        br resume(r0)

yield:  bal r6, advance
switch: ld r7, NEXT(r7)
        ld r1, ALIVE(r7)
        bz r1, switch

resume: st r7, current(r0)
        ld r1, 0(r7)
        st r1, go(r0)
        ld r1, 1(r7)
        ld r2, 2(r7)
        ld r3, 3(r7)
        ld r4, 4(r7)
        ld r5, 5(r7)
        ld r6, 6(r7)
        ld r7, 7(r7)
        lpsw go

advance:                                ; past the call; back to r6
        ld r1, 0(r7)
        ld r2, one(r0)
        add r1, r2
        st r1, 0(r7)
        br 0(r6)

finish: li r3, 0
        li r2, CONSOLE
say:    ld r1, goodbye(r3)
        bz r1, off
        st r1, 0(r2)
        li r4, 1
        add r3, r4
        br say(r0)
off:    li r2, POWER
        st r0, 0(r2)
        halt

save:   .word 0
go:     .word 0
current: .word 0
living: .word 4
one:    .word ONE
call_put: svc 1
call_yield: svc 2
call_exit: svc 3
goodbye: .asciz "\ndone\n"

        .macro block name, next, base, size
\name:  .word USER + \base * (1 << 21) + \size
        .space 7
        .word USER + \base * (1 << 21) + \size
        .word \base
        .word \next
        .word 1
        .endm

        block task_a, task_b, 0x400, 64
        block task_b, task_c, 0x440, 64
        block task_c, task_d, 0x480, 64
        block task_d, task_a, 0x4C0, 64

        .org 0x400                      ; counts up
        li r2, 3
        li r3, 1
        li r1, '0'
1:      add r1, r3
        svc 1
        svc 2
        sub r2, r3
        bz r2, 1f - 0x400
        br 1b - 0x400(r0)
1:      svc 3

        .org 0x440                      ; spells
        li r2, 0
        li r3, 1
1:      ld r1, 2f - 0x440(r2)
        bz r1, 1f - 0x440
        svc 1
        svc 2
        add r2, r3
        br 1b - 0x440(r0)
1:      svc 3
2:      .asciz "abcde"

        .org 0x480                      ; wants all of memory
        li r1, 'x'
        svc 1
        svc 2
        lrb 0
        li r1, '?'
        svc 1
        svc 3

        .org 0x4C0                      ; runs off its memory
        li r1, 'y'
        svc 1
        svc 2
        li r2, 60
        li r3, 1
1:      st r0, 0(r2)
        add r2, r3
        br 1b - 0x4C0(r0)
