; A small operating system for the KA10: jobs in user mode, each in a block of its own by protection and relocation;
; monitor calls by unimplemented operations; preemption by the clock; and an end for jobs that do what they may not.
;
; Calls trap to 40 and 41; the clock and violations interrupt on channel 1, to 42.  Both save the PC word and leave user
; mode.  The accumulators are the job's, and are kept before anything else.
        .equ CONSOLE, 0o777700
        .equ POWER, 0o777710
        .equ TIMER, 0o777720
        .equ PERIOD, 0o200

        .equ PUT, 0o51                  ; the code of a monitor call: print the character in the address
        .equ EXIT, 0o52                 ; and end the job

; Numbers in instructions are octal, so characters have names.
        .equ A, 'a'
        .equ B, 'b'
        .equ C, 'c'
        .equ ASK, '?'
        .equ BANG, '!'

; Conditions of the processor (APR): SRM 2.14.
        .equ VIOLATION, 0o20000
        .equ TICKED, 0o1000
        .equ CLOCK_ON, 0o2001           ; the clock interrupts, and all is on channel 1
        .equ DONE, 0o21001              ; forget the tick and the violation

; A job: 16 accumulators, then the PC word, what sets its map, the next job, and whether it lives.
        .equ PC, 0o20
        .equ MAP, 0o21
        .equ NEXT, 0o22
        .equ ALIVE, 0o23
        .equ USER, 1 << 30              ; in a PC word
        .equ USER_LEFT, 0o10000         ; the same in its left half

; Keeps the job: its PC word is in \from, and \last has room for an accumulator.
        .macro keep from, last
        movem 17, \last
        move 17, current
        movem 0, 0(17)
        movei 0, 1(17)
        hrli 0, 1
        blt 0, 16(17)
        move 0, \last
        movem 0, 17(17)
        move 0, \from
        movem 0, PC(17)
        .endm

; Gives the job in 17 its map and its accumulators back; its PC word is in `go` then.
        .macro give
        movem 17, current
        datao 0, MAP(17)
        move 0, PC(17)
        movem 0, go
        movei 0, 1
        hrli 0, 1(17)
        blt 0, 16
        move 0, 0(17)
        move 17, 17(17)
        .endm

        .org 0o41
        jsr call
        jsr tick

        .org 0o100
start:  cono 0, CLOCK_ON
        cono 1, 2300                    ; the interrupt system on, and channel 1
        movei 1, PERIOD
        movem 1, TIMER
        movei 17, job_a
        jrst run

call:   .word 0                         ; the PC word
        keep call, call_17
        move 1, 40                      ; the operation
        lsh 1, 777745                   ; its code, 27 bits to the right
        cain 1, EXIT
        jrst end
        caie 1, PUT
        jrst fault
        hrrz 1, 40
        movem 1, CONSOLE
        give
        jrstf @go                       ; PG74: the PDP-10's return to user mode

fault:  movei 1, BANG
        movem 1, CONSOLE
end:    setzm 0, ALIVE(17)
        sosle 0, living
        jrst switch
        movei 1, 12
        movem 1, CONSOLE
        setzm 0, POWER
        halt .

tick:   .word 0
        movem 17, tick_17
        move 17, tick
        tlnn 17, USER_LEFT
        jrst back                       ; the system itself is not preempted
        move 17, tick_17
        keep tick, tick_17
        consz 0, VIOLATION
        jrst fault
switch: move 17, NEXT(17)
        skipn 0, ALIVE(17)
        jrst switch
run:    setzm 0, TIMER+1
        cono 0, DONE
        give
        jen @go                         ; the channel is free again
back:   setzm 0, TIMER+1
        cono 0, DONE
        move 17, tick_17
        jen @tick

go:     .word 0
call_17: .word 0
tick_17: .word 0
current: .word 0
living: .word 3

        .macro job name, next, base
\name:  .space 16
        .word USER + 16                 ; the first address after the accumulators
        .word \base                     ; one block, relocated
        .word \next
        .word 1
        .endm

        job job_a, job_b, 0o10000
        job job_b, job_c, 0o12000
        job job_c, job_a, 0o14000

        .macro task letter, times, delay
        movei 2, \times
1:      muuo PUT, 0, \letter
        movei 1, \delay
2:      sojg 1, (2b - 0o10000) & 0o1777
        sojg 2, (1b - 0o10000) & 0o1777
        .endm

        .org 0o10020
        task A, 14, 20
        muuo EXIT, 0, 0

        .org 0o12020
        task B, 14, 14
        muuo EXIT, 0, 0

        .org 0o14020                    ; reaches for memory that is not its own
        task C, 3, 100
        move 1, 2000
        muuo PUT, 0, ASK
        muuo EXIT, 0, 0
