; A sieve, a table of random numbers, a Shell sort and a checksum, ROUNDS times; the checksum is left at RESULT.
        .equ SIZE, 4096
        .equ COUNT, 1024
        .equ RESULT, 0x800
        .equ FLAGS, 0x2000
        .equ TABLE, 0x4000
        .equ POWER, 0xFFF010
        .equ BELOW, 4
        .equ EQUAL, 8
        .equ NOT_BELOW, 11
        .equ NOT_ABOVE, 13
        .equ ALWAYS, 15

start:  balr r12, r0
base:   sr r1, r1               ; the checksum
        l r2, rounds-base(,r12)
        la r13, 1               ; the random number
        l r10, flags-base(,r12)
        l r11, table-base(,r12)
round:  lr r3, r10
        l r4, size-base(,r12)
clear:  mvi 0(r3), 1
        la r3, 1(,r3)
        bct r4, clear-base(,r12)
        la r3, 2
sieve:  la r5, 0(r3,r10)
        cli 0(r5), 0
        bc EQUAL, next-base(,r12)
        ar r1, r3
        lr r4, r3
mark:   ar r4, r3
        c r4, size-base(,r12)
        bc NOT_BELOW, next-base(,r12)
        la r5, 0(r4,r10)
        mvi 0(r5), 0
        bc ALWAYS, mark-base(,r12)
next:   la r3, 1(,r3)
        c r3, size-base(,r12)
        bc BELOW, sieve-base(,r12)

        lr r3, r11
        la r4, COUNT
fill:   lr r7, r13
        m r6, factor-base(,r12)
        a r7, addend-base(,r12)
        n r7, mask-base(,r12)
        lr r13, r7
        st r7, 0(,r3)
        la r3, 4(,r3)
        bct r4, fill-base(,r12)

        la r6, COUNT*2          ; the gap, in bytes as all that follows
gap:    lr r3, r6
each:   l r7, 0(r3,r11)
        lr r4, r3
down:   cr r4, r6
        bc BELOW, put-base(,r12)
        lr r8, r4
        sr r8, r6
        c r7, 0(r8,r11)
        bc NOT_BELOW, put-base(,r12)
        l r9, 0(r8,r11)
        st r9, 0(r4,r11)
        lr r4, r8
        bc ALWAYS, down-base(,r12)
put:    st r7, 0(r4,r11)
        la r3, 4(,r3)
        c r3, bytes-base(,r12)
        bc BELOW, each-base(,r12)
        srl r6, 1
        c r6, four-base(,r12)
        bc NOT_BELOW, gap-base(,r12)

        lr r3, r11
        la r4, COUNT
sum:    alr r1, r1
        x r1, 0(,r3)
        la r3, 4(,r3)
        bct r4, sum-base(,r12)
        bct r2, round-base(,r12)

        st r1, RESULT
        l r2, power-base(,r12)
        mvi 0(r2), 0            ; ends here on popek; for Hercules this is memory
        la r1, show-base(,r12)
        la r3, quit-show
        .word 0x83130008        ; DIAGNOSE: a command for Hercules, in r1 and r3 its address and length
        la r1, quit-base(,r12)
        la r3, 4
        .word 0x83130008
done:   bc ALWAYS, done-base(,r12)

        .align 4
rounds: .word ROUNDS
size:   .word SIZE
bytes:  .word COUNT*4
four:   .word 4
factor: .word 1103
addend: .word 12345
mask:   .word 0x3FFFF
flags:  .word FLAGS
table:  .word TABLE
power:  .word POWER
show:   .byte 0x99, 0x40, 0xF8, 0xF0, 0xF0, 0x4B, 0xF4   ; in EBCDIC: r 800.4
quit:   .byte 0x98, 0xA4, 0x89, 0xA3                     ; quit
