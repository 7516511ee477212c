/** The colors of the charts, as the canvas takes them. `series` begins with color 1. */
export type ChartColors = { ink: string; line: string; limit: string; series: string[] }

const tokens = { ink: '--ink-soft', line: '--line', limit: '--line-strong' }
const seriesTokens = ['--chart-1', '--chart-2', '--chart-3', '--chart-4']

/** Reads the tokens' current values. A canvas knows neither custom properties nor `light-dark()`. */
export function readChartColors(): ChartColors {
  const probe = document.createElement('span')
  probe.hidden = true
  document.body.append(probe)
  const read = (token: string) => {
    probe.style.color = `var(${token})`
    return getComputedStyle(probe).color
  }
  const colors = {
    ink: read(tokens.ink),
    line: read(tokens.line),
    limit: read(tokens.limit),
    series: seriesTokens.map(read),
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
