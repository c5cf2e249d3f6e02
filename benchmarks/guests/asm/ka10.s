; Says hello, one character a word.
        .equ CONSOLE, 0o777700
        .equ POWER, 0o777710

start:  movei 1, text
loop:   move 2, 0(1)
        jumpe 2, done
        movem 2, CONSOLE
        addi 1, 1
        jrst loop
done:   setzm 0, POWER
        halt done

text:   .asciz "Hello from ka10\n"
