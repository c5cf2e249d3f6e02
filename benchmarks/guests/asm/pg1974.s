; Says hello, one character a word.
        .equ CONSOLE, 0x1FFF00
        .equ POWER, 0x1FFF10

start:  li r1, 0                ; which character
        li r2, 1
        li r4, CONSOLE
        li r5, POWER
loop:   ld r3, text(r1)
        bz r3, done
        st r3, 0(r4)
        add r1, r2
        br loop(r0)
done:   st r0, 0(r5)
        halt

text:   .asciz "Hello from pg1974\n"
