/** The colors of the charts, as the canvas takes them. `series` begins with color 1, and `area` is below its line. */
export type ChartColors = { ink: string; line: string; limit: string; area: string; series: string[] }

const seriesColors = [1, 2, 3, 4].map((number) => `var(--chart-${number})`)

/** Reads the tokens' current values. A canvas knows neither custom properties nor `light-dark()`. */
export function readChartColors(): ChartColors {
  const probe = document.createElement('span')
  probe.hidden = true
  document.body.append(probe)
  const read = (color: string) => {
    probe.style.color = color
    return getComputedStyle(probe).color
  }
  const colors = {
    ink: read('var(--ink-soft)'),
    line: read('var(--line)'),
    limit: read('var(--line-strong)'),
    area: read('color-mix(in srgb, var(--chart-1) 11%, transparent)'),
    series: seriesColors.map(read),
  }
  probe.remove()
  return colors
}

/** Calls a function when the page changes between light and dark. @returns a function that ends it */
export function onColorsChange(listener: () => void): () => void {
  const observer = new MutationObserver(listener)
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] })
  const system = matchMedia('(prefers-color-scheme: dark)')
  system.addEventListener('change', listener)
  return () => {
    observer.disconnect()
    system.removeEventListener('change', listener)
  }
}
