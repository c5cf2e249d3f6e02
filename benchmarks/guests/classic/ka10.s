; A sieve, a table of random numbers, a Shell sort and a checksum, ROUNDS times; the checksum is left in accumulator 1.
        .equ SIZE, 4096
        .equ COUNT, 1024
        .equ FLAGS, 0o2000
        .equ TABLE, 0o20000
        .equ POWER, 0o777710

start:  movei 1, 0
        movei 2, ROUNDS
        movei 5, 1
round:  movei 3, SIZE
        movei 4, 1
clear:  movem 4, FLAGS-1(3)
        sojg 3, clear
        movei 3, 2
sieve:  skipn 0, FLAGS(3)
        jrst next
        add 1, 3
        move 4, 3
mark:   add 4, 3
        cail 4, SIZE
        jrst next
        setzm 0, FLAGS(4)
        jrst mark
next:   addi 3, 1
        caige 3, SIZE
        jrst sieve

        movei 3, COUNT
fill:   imuli 5, 1103
        addi 5, 12345
        andi 5, 0o777777
        movem 5, TABLE-1(3)
        sojg 3, fill

        movei 6, COUNT/2
gap:    move 3, 6
each:   move 7, TABLE(3)
        move 4, 3
down:   camge 4, 6
        jrst put
        move 0o10, 4
        sub 0o10, 6
        caml 7, TABLE(0o10)
        jrst put
        move 0o11, TABLE(0o10)
        movem 0o11, TABLE(4)
        move 4, 0o10
        jrst down
put:    movem 7, TABLE(4)
        addi 3, 1
        caige 3, COUNT
        jrst each
        lsh 6, -1
        jumpg 6, gap

        movei 3, COUNT
sum:    rot 1, 1
        xor 1, TABLE-1(3)
        sojg 3, sum
        sojg 2, round
        setzm 0, POWER          ; ends here on popek, and there on SIMH, for which this is memory
        halt .
