; Addresses and constants in two instructions.
        .macro la rd, target
        auipc \rd, (\target - . + 0x800)[31:12]
        addi \rd, \rd, sext(\target - . + 4, 12)
        .endm

        .macro li rd, value
        lui \rd, (\value + 0x800)[31:12]
        addi \rd, \rd, sext(\value, 12)
        .endm
