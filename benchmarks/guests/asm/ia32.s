; Says hello.
        .equ CONSOLE, 0xFFFF0000
        .equ POWER, 0xFFFF0010

start:  mov esi, text
        mov edi, CONSOLE
1:      mov al, [esi]
        test al, al
        je 1f
        mov [edi], al
        inc dword esi
        jmp 1b
1:      mov byte [POWER], 0

text:   .asciz "Hello from ia32\n"
