; Says hello; then the timer interrupts three times (level 6, autovector 30).
        .equ CONSOLE, 0xFFF000
        .equ POWER, 0xFFF010
        .equ TIMER, 0xFFF020

start:  lea (text).l, a0
        lea (CONSOLE).l, a1
1:      move.b (a0)+, d0
        beq.s 1f
        move.b d0, (a1)
        bra.s 1b
1:      move.l #tick, (30*4).w
        moveq #3, d1
        lea (TIMER).l, a2
        move.b #100, (a2)
        move.w #0x2000, sr
2:      tst.b d1
        bne.s 2b
        move.b #7, (POWER).l

tick:   move.b #'.', (a1)
        subq.b #1, d1
        bne.s 1f
        move.b #10, (a1)
1:      move.b #0, (1,a2)
        rte

text:   .asciz "Hello from m68000\n"
