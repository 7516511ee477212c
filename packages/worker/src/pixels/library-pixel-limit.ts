/** sharp's default pixel limit (0x3FFF squared). It must never be raised for user files. */
export const libraryPixelLimit = 0x3fff * 0x3fff
