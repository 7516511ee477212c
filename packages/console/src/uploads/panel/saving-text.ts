/** Says how much smaller a variant is than its original: "−91 %", or how much larger: "+12 %". */
export function savingText(size: number, originalSize: number): string {
  if (originalSize === 0) return ''
  const percentage = Math.round((size / originalSize - 1) * 100)
  // A variant of nearly no bytes is not free.
  const shown = size > 0 ? Math.max(percentage, -99) : percentage
  if (shown === 0) return 'same size'
  return `${shown < 0 ? '−' : '+'}${Math.abs(shown).toLocaleString()}\u00a0%`
}
