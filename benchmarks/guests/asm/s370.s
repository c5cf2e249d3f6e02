; Says hello.
        .equ CONSOLE, 0xFFF000
        .equ POWER, 0xFFF010

start:  balr r12, r0
base:   l r2, console-base(,r12)
        la r1, text-base(,r12)
loop:   cli 0(r1), 0
        bc 8, done-base(,r12)
        mvc 0(r2)(0), 0(r1)
        la r1, 1(,r1)
        bc 15, loop-base(,r12)
done:   l r2, power-base(,r12)
        mvi 0(r2), 0
        bc 15, done-base(,r12)

        .align 4
console: .word CONSOLE
power:  .word POWER
text:   .asciz "Hello from s370\n"
