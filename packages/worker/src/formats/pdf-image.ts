import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { PDFiumModule } from '@hyzyla/pdfium'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Sharp } from 'sharp'
import type { OpenedImage, OpenLimits, Selection } from '../pixels/opened-image.ts'
import type { Size } from '../pixels/raster.ts'
import { sharp } from '../pixels/sharp-setup.ts'
import { structureError } from './corrupt-image.ts'
import { compileWasm } from './wasm-program.ts'

type Pdfium = Awaited<ReturnType<typeof PDFiumModule>>

/** Codes of `FPDF_GetLastError` (fpdfview.h). */
const passwordError = 4
const securityError = 5
/** Flags of `FPDF_RenderPageBitmap`: with annotations; red before blue, as sharp has it. */
const renderFlags = 0x01 | 0x10
/** `FPDFBitmap_BGRx`: four bytes, of which the last is not used. */
const bitmapFormat = 3
const bytesPerPixel = 4
/** `FPDF_FORMFILLINFO` (fpdf_formfill.h): a version, then pointers to callbacks. It is shorter than this, in bytes. */
const formInfoBytes = 256
const formInfoVersion = 2
/** How many pages are tried until one opens. */
const maxTriedPages = 20

/** PDFium's program, compiled once. Each document gets an instance of its own. */
let startProgram: Promise<ReturnType<typeof compileWasm>> | undefined

/**
 * Opens a PDF. Its size is that of its first page, in points of 1/72 inch, rounded, as it is shown: with its crop box and
 * its rotation.
 *
 * PDFium is compiled to WebAssembly without V8 and XFA, so it runs no script. It has no access to files and the network. An
 * instance has one document only: its memory ends with it, also if a document crashes it.
 *
 * @throws AppError `image_corrupt` if no page opens, `image_not_supported` if it needs a password
 */
export async function openPdfImage(
  _kind: 'application/pdf',
  file: Buffer,
  { maxPixels }: OpenLimits,
): Promise<OpenedImage> {
  const pdfium = await startPdfium()
  return catchCrash(() => openDocument(pdfium, file, maxPixels))
}

function openDocument(pdfium: Pdfium, file: Buffer, maxPixels: number): OpenedImage {
  const document = loadDocument(pdfium, file)
  const pages = pdfium._FPDF_GetPageCount(document)
  const first = openFirst(pdfium, document, pages)
  if (!first) throw structureError('application/pdf', 'damaged', new Error(`None of ${pages} pages opens.`))
  const size = sizeOf(pdfium, first.page)
  const form = openForm(pdfium, document)
  pdfium._FPDF_ClosePage(first.page)
  return {
    width: Math.max(1, Math.round(size.width)),
    height: Math.max(1, Math.round(size.height)),
    frames: 1,
    pages,
    isVector: true,
    warnings: first.number > 0 ? [unreadPages(first.number)] : [],
    async decode<Result>(selection: Selection, use: (picture: Sharp) => Promise<Result>) {
      const drawn = withinPixels(selection.size, maxPixels)
      const pixels = catchCrash(() => {
        const page = openPage(pdfium, document, selection.page) ?? openPage(pdfium, document, first.number)
        if (!page) throw structureError('application/pdf', 'damaged', new Error('The page does not open.'))
        const picture = draw(pdfium, page, drawn, form)
        pdfium._FPDF_ClosePage(page)
        return picture
      })
      return use(sharp(pixels, { raw: { ...drawn, channels: bytesPerPixel } }).removeAlpha())
    },
  }
}

/** Starts PDFium with a memory of its own. It takes some 20 ms. */
async function startPdfium(): Promise<Pdfium> {
  startProgram ??= readFile(createRequire(import.meta.url).resolve('@hyzyla/pdfium/pdfium.wasm')).then(
    compileWasm,
  )
  // Without `locateFile` it looks for its program beside itself.
  const pdfium = await PDFiumModule({ instantiateWasm: await startProgram, locateFile: (path) => path })
  pdfium._FPDF_InitLibraryWithConfig({})
  return pdfium
}

/** @returns the document's handle */
function loadDocument(pdfium: Pdfium, file: Buffer): number {
  const place = allocate(pdfium, file.length)
  pdfium.HEAPU8.set(file, place)
  const document = pdfium._FPDF_LoadMemDocument(place, file.length, 0)
  if (document !== 0) return document
  const code = pdfium._FPDF_GetLastError()
  if (code === passwordError || code === securityError) {
    throw new AppError('image_not_supported', {
      message: 'The PDF is protected by a password, so no picture of it can be made. It is not damaged.',
    })
  }
  const isCut = !file.includes('%%EOF', Math.max(0, file.length - 1024), 'latin1')
  throw structureError(
    'application/pdf',
    isCut ? 'truncated' : 'damaged',
    new Error(`PDFium's error ${code}`),
  )
}

/** A document that crashes PDFium ends its instance only, not the process. @throws AppError `poison_file` */
function catchCrash<Result>(run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    // A trap of WebAssembly, or the program's own `abort`.
    if (error instanceof Error && error.name === 'RuntimeError') {
      throw new AppError('poison_file', { cause: error })
    }
    throw error
  }
}

/** Returns the first page that opens. */
function openFirst(
  pdfium: Pdfium,
  document: number,
  pages: number,
): { number: number; page: number } | undefined {
  for (let number = 0; number < Math.min(pages, maxTriedPages); number++) {
    const page = openPage(pdfium, document, number)
    if (page !== undefined) return { number, page }
  }
  return undefined
}

/** @param count of pages before the first that opens */
function unreadPages(count: number): string {
  const unread = count === 1 ? 'Page 1' : `Pages 1 to ${count}`
  return `${unread} of the PDF cannot be read, so page ${count + 1} is the picture.`
}

/** @param number from 0 @returns the page's handle, or undefined if it does not open */
function openPage(pdfium: Pdfium, document: number, number: number): number | undefined {
  return pdfium._FPDF_LoadPage(document, number) || undefined
}

/** In points. */
function sizeOf(pdfium: Pdfium, page: number): Size {
  return { width: pdfium._FPDF_GetPageWidth(page), height: pdfium._FPDF_GetPageHeight(page) }
}

/**
 * Opens the form of a document, without which form fields are not drawn. None of its callbacks is set, and there is no
 * program in it that would run scripts.
 *
 * @returns its handle, 0 if it does not open
 */
function openForm(pdfium: Pdfium, document: number): number {
  const info = allocate(pdfium, formInfoBytes)
  pdfium.HEAPU8.fill(0, info, info + formInfoBytes)
  pdfium.HEAPU8[info] = formInfoVersion
  return pdfium._FPDFDOC_InitFormFillEnvironment(document, info)
}

/** Draws a page on white paper, with its form fields. @returns four bytes per pixel */
function draw(pdfium: Pdfium, page: number, { width, height }: Size, form: number): Buffer {
  const stride = width * bytesPerPixel
  const place = allocate(pdfium, stride * height)
  const bitmap = pdfium._FPDFBitmap_CreateEx(width, height, bitmapFormat, place, stride)
  if (bitmap === 0) throw new AppError('processing_failed', { cause: new Error('PDFium has no memory.') })
  pdfium._FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xffffffff)
  pdfium._FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, renderFlags)
  if (form !== 0) pdfium._FPDF_FFLDraw(form, bitmap, page, 0, 0, width, height, 0, renderFlags)
  pdfium._FPDFBitmap_Destroy(bitmap)
  // The memory may move when it grows, so it is copied.
  const pixels = Buffer.from(pdfium.HEAPU8.subarray(place, place + stride * height))
  pdfium.wasmExports.free(place)
  return pixels
}

function allocate(pdfium: Pdfium, bytes: number): number {
  const place = pdfium.wasmExports.malloc(bytes)
  if (place === 0) throw new AppError('processing_failed', { cause: new Error('PDFium has no memory.') })
  return place
}

/** Returns a size that is not larger than the limit. Rendering enlarges the picture then. */
function withinPixels({ width, height }: Size, maxPixels: number): Size {
  const scale = Math.min(1, Math.sqrt(maxPixels / (width * height)))
  return { width: Math.max(1, Math.floor(width * scale)), height: Math.max(1, Math.floor(height * scale)) }
}
